// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

// onNode skips a test that looks into the node's processes.
func onNode(t *testing.T) {
	t.Helper()
	needCluster(t)
	if !local {
		t.Skip("reaches for processes of the node: on hack/cluster only")
	}
}

// killAll ends the processes of a program in the pods of a selector.
func killAll(t *testing.T, namespace, selector, program string) (killed int) {
	t.Helper()
	pods, err := kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, pid := range processes(t, &pod, program) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	return killed
}

// sandboxd is the agent's process of a sandbox.
func sandboxd(t *testing.T, sandbox *v1.Sandbox) int {
	t.Helper()
	pids := processes(t, podOf(t, sandbox), "sandboxd")
	if len(pids) == 0 {
		t.Fatalf("sandbox %s has no sandboxd", sandbox.Name)
	}
	return pids[0]
}

// Server, controller and sandboxd are killed while executions are created and run:
// each of them ends once, with the reason, and none runs twice.
func TestExecutionsEndOnceAndRunAtMostOnceWhateverIsKilled(t *testing.T) {
	onNode(t)
	user := sandboxUser(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const boxes = 3
	var running [boxes]*v1.Sandbox
	var marks [boxes]*os.File // in the sandboxes' files, and open when they are gone
	for i := range boxes {
		running[i] = user.Running(t, fmt.Sprintf("box-%d", i), small, func(s *v1.SandboxSpec) { s.Timeout = ptr.To[int32](1800) })
		user.Sh(t, running[i].Name, "touch /workspace/marks")
		file, err := os.Open(fmt.Sprintf("/proc/%d/root/workspace/marks", sandboxd(t, running[i])))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		marks[i] = file
	}

	working, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	var made [boxes]int
	for i := range boxes {
		workers.Go(func() { made[i] = executeUntil(working, t, user, running[i].Name) })
	}
	wait := func() { time.Sleep(time.Duration(3000+random.IntN(3000)) * time.Millisecond) }
	kills := 0
	for _, kill := range []func() int{
		func() int {
			return killAll(t, system, "app.kubernetes.io/name=safebeam-apiserver", "safebeam-apiserver")
		},
		func() int {
			return killAll(t, system, "app.kubernetes.io/name=safebeam-controller", "safebeam-controller")
		},
		func() int {
			if syscall.Kill(sandboxd(t, running[0]), syscall.SIGKILL) != nil {
				return 0
			}
			return 1
		},
		func() int {
			return killAll(t, system, "app.kubernetes.io/name=safebeam-apiserver", "safebeam-apiserver")
		},
	} {
		wait()
		kills += kill()
	}
	if kills < 4 {
		t.Errorf("only %d processes were killed", kills)
	}
	// The kubelet takes its time with what ended twice.
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		_, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).List(ctx, metav1.ListOptions{})
		return err
	})
	wait()
	stop()
	workers.Wait()

	lost := user.Until(t, running[0].Name, v1.SandboxLost)
	if lost.Status.Reason != "AgentFailed" || lost.Status.Message == "" {
		t.Errorf("the sandbox whose agent was killed: %+v", lost.Status)
	}
	ends := map[string]int{}
	for i := range boxes {
		data, err := io.ReadAll(marks[i])
		if err != nil {
			t.Fatal(err)
		}
		began := map[string]int{}
		for _, name := range strings.Fields(string(data)) {
			began[name]++
		}
		if i > 0 && made[i] < 5 {
			t.Errorf("%d executions in %s", made[i], running[i].Name)
		}
		for n := range made[i] {
			name := fmt.Sprintf("%s-%d", running[i].Name, n)
			status := user.Ended(t, name).Status
			end := fmt.Sprintf("%s (%s)", status.Phase, status.Reason)
			ends[end]++
			switch {
			case end == "Succeeded (Completed)":
				if began[name] != 1 || sandboxes.Text(status.Stdout) != saidBy(name) {
					t.Errorf("%s succeeded, began %d times and said %q", name, began[name], sandboxes.Text(status.Stdout))
				}
			case i == 0 && status.Phase == v1.ExecutionLost && status.Reason == lost.Status.Reason && began[name] <= 1:
			default:
				t.Errorf("%s began %d times and is %s: %s", name, began[name], end, status.Message)
			}
		}
	}
	t.Logf("%v", ends)
}

const linesSaid = 10

func saidBy(name string) string {
	var b strings.Builder
	for n := range linesSaid {
		fmt.Fprintf(&b, "line %d of %s\n", n, name)
	}
	return b.String()
}

// executeUntil creates executions, one after the other, until ctx ends or the
// sandbox is over, and returns how many were acknowledged.
func executeUntil(ctx context.Context, t *testing.T, user *sandboxes.User, box string) (made int) {
	for ctx.Err() == nil {
		name := fmt.Sprintf("%s-%d", box, made)
		_, err := user.Client.LlmsafespaceV1().Executions(user.Namespace).Create(context.WithoutCancel(ctx), &v1.Execution{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1.ExecutionSpec{Sandbox: box, TimeoutSeconds: ptr.To[int32](120), Command: []string{"sh", "-c", fmt.Sprintf(
				`echo %[1]s >> /workspace/marks; n=0; while [ $n -lt %[2]d ]; do echo "line $n of %[1]s"; n=$((n+1)); sleep 0.2; done`, name, linesSaid)}},
		}, metav1.CreateOptions{})
		switch {
		case err == nil, apierrors.IsAlreadyExists(err):
			made++
		case apierrors.IsConflict(err), apierrors.IsInvalid(err):
			return made // the sandbox is over
		}
		time.Sleep(400 * time.Millisecond)
	}
	return made
}
