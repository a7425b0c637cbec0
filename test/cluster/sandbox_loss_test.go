// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

// A pod that goes takes its sandbox and its executions along, with the reason.
func TestASandboxIsLostWithItsPodAndSaysWhy(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	for _, tc := range []struct {
		name   string
		reason []string
		change func(*v1.SandboxSpec)
		lose   func(t *testing.T, sandbox *v1.Sandbox)
	}{
		{"deleted", []string{"PodDeleted"}, nil, func(t *testing.T, s *v1.Sandbox) {
			if err := kube.CoreV1().Pods(s.Status.PodNamespace).Delete(t.Context(), s.Status.PodName, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
		{"deleted-at-once", []string{"PodDeleted"}, nil, func(t *testing.T, s *v1.Sandbox) {
			if err := kube.CoreV1().Pods(s.Status.PodNamespace).Delete(t.Context(), s.Status.PodName, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
				t.Fatal(err)
			}
		}},
		{"drained", []string{"Drained"}, nil, func(t *testing.T, s *v1.Sandbox) {
			if err := kube.PolicyV1().Evictions(s.Status.PodNamespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: s.Status.PodName, Namespace: s.Status.PodNamespace}}); err != nil {
				t.Fatal(err)
			}
		}},
		{"filled", []string{"Evicted"}, func(s *v1.SandboxSpec) { s.Resources.EphemeralStorage = ptr.To(resource.MustParse("32Mi")) }, func(t *testing.T, s *v1.Sandbox) {
			user.Sh(t, s.Name, "head -c 100000000 /dev/zero > /workspace/big; ls -l /workspace/big")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			changes := []func(*v1.SandboxSpec){small}
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			sandbox := user.Running(t, tc.name, changes...)
			user.Start(t, tc.name, v1.ExecutionSpec{Sandbox: tc.name, Command: []string{"sleep", "1000"}, TimeoutSeconds: ptr.To[int32](3600)})
			eventually(t, 30*time.Second, func(ctx context.Context) error {
				execution, err := own.LlmsafespaceV1().Executions(user.Namespace).Get(ctx, tc.name, metav1.GetOptions{})
				if err == nil && execution.Status.Phase != v1.ExecutionRunning {
					err = fmt.Errorf("the execution is %s", execution.Status.Phase)
				}
				return err
			})
			tc.lose(t, sandbox)
			lost := user.Until(t, tc.name, v1.SandboxLost, v1.SandboxFailed, v1.SandboxTerminated)
			if lost.Status.Phase != v1.SandboxLost || lost.Status.Reason != tc.reason[0] || lost.Status.Message == "" {
				t.Errorf("%s, %s: %s", lost.Status.Phase, lost.Status.Reason, lost.Status.Message)
			}
			if execution := user.Ended(t, tc.name); execution.Status.Phase != v1.ExecutionLost || execution.Status.Reason != tc.reason[0] {
				t.Errorf("its execution: %+v", execution.Status)
			}
			if _, err := user.Exec(t.Context(), tc.name, sandboxes.Command{Argv: []string{"true"}}); err == nil {
				t.Error("exec in a lost sandbox works")
			}
		})
	}
}

// Where the kernel comes before the agent, the whole pod goes. The agent is held, so
// that it does not end its guest, and that fills memory which is no process': the
// agent is the largest one.
func TestASandboxThatTheKernelEndsSaysSo(t *testing.T) {
	t.Parallel()
	onNode(t)
	user := sandboxUser(t)
	sandbox := user.Running(t, "box", small, func(s *v1.SandboxSpec) { s.Resources.Memory = ptr.To(resource.MustParse("64Mi")) })
	pid := sandboxd(t, sandbox)
	inside := func(file string) string { return fmt.Sprintf("/proc/%d/root/workspace/%s", pid, file) }
	// An execution is Running before its process is: the process itself says that the
	// agent is done with it, and waits until the agent is held.
	user.Start(t, "hog", v1.ExecutionSpec{
		Sandbox: "box", TimeoutSeconds: ptr.To[int32](600),
		Command: []string{"sh", "-c", "touch ready; until [ -e go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/shm/hog bs=64k; sleep 600"},
	})
	eventually(t, 30*time.Second, func(context.Context) error {
		_, err := os.Stat(inside("ready"))
		return err
	})
	if execution, err := own.LlmsafespaceV1().Executions(user.Namespace).Get(t.Context(), "hog", metav1.GetOptions{}); err != nil || execution.Status.Phase != v1.ExecutionRunning {
		t.Fatalf("the execution is %+v, %v", execution, err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inside("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lost := user.Until(t, "box", v1.SandboxLost, v1.SandboxFailed, v1.SandboxTerminated)
	if lost.Status.Phase != v1.SandboxLost || lost.Status.Reason != "OOMKilled" || lost.Status.Message == "" {
		t.Errorf("%s, %s: %s", lost.Status.Phase, lost.Status.Reason, lost.Status.Message)
	}
	if status := user.Ended(t, "hog").Status; status.Phase != v1.ExecutionLost || status.Reason != "OOMKilled" {
		t.Errorf("its execution: %s, %s: %s", status.Phase, status.Reason, status.Message)
	}
	noPods(t, user.Namespace)
	// Whoever asks what happened is told.
	described := kubectl(t, "", "-n", user.Namespace, "describe", "sandbox", "box")
	for _, want := range []string{"PodBound", "Scheduled", "Started", "Lost", "OOMKilled"} {
		if _, events, _ := strings.Cut(described, "Events:"); !strings.Contains(events, want) {
			t.Errorf("no event says %s:\n%s", want, described)
		}
	}
}

// A guest that wants too much memory, or too many processes, is ended, and the
// sandbox lives on.
func TestAGuestThatWantsTooMuchIsEndedAndItsSandboxLivesOn(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	// sandboxd shares the cpu with its guest: with less, ending it takes longer.
	user.Running(t, "box", small, func(s *v1.SandboxSpec) { s.Resources.CPU = ptr.To(resource.MustParse("1")) })
	for name, command := range map[string][]string{
		"memory":    {"python3", "-c", "b = []\nwhile True: b.append(bytearray(8 << 20))"},
		"processes": {"python3", "-c", "import os\nwhile True: os.fork()"},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := user.Exec(t.Context(), "box", sandboxes.Command{Argv: command})
			if err == nil && output.Code == 0 {
				t.Errorf("%+v", output)
			}
			// The agent may have been starved, and dials again.
			began := time.Now()
			eventually(t, time.Minute, func(ctx context.Context) error {
				alive, err := user.Exec(ctx, "box", sandboxes.Command{Argv: []string{"echo", "alive"}})
				if err == nil && alive.Stdout != "alive\n" {
					err = fmt.Errorf("the sandbox says %q", alive.Stdout)
				}
				return err
			})
			t.Logf("alive after %s", time.Since(began))
		})
	}
}

// A controller that is gone is missed by nobody: what it left is finished by the
// next, and no sandbox has two pods.
func TestTheControllerMayDieAtAnyMoment(t *testing.T) {
	user := sandboxUser(t)
	const count = 6
	ctx, stop := context.WithCancel(t.Context())
	killed := make(chan error, 1)
	go func() {
		defer close(killed)
		for ctx.Err() == nil {
			err := kube.CoreV1().Pods(system).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=safebeam-controller"})
			if err != nil && ctx.Err() == nil {
				killed <- err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(1500 * time.Millisecond):
			}
		}
	}()
	names := []string{}
	for i := range count {
		name := fmt.Sprintf("box-%d", i)
		names = append(names, name)
		user.Create(t, name, small)
		time.Sleep(300 * time.Millisecond) // spread over the kills
	}
	time.Sleep(3 * time.Second)
	stop()
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		user.Until(t, name, v1.SandboxRunning)
	}
	pods, err := kube.CoreV1().Pods(user.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "llmsafespace.dev/type=sandbox"})
	if err != nil || len(pods.Items) != count {
		t.Errorf("%d sandboxes have %d pods, %v", count, len(pods.Items), err)
	}
	for _, name := range names {
		user.Gone(t, name)
	}
	noPods(t, user.Namespace)
}

// Our API server may go: what runs goes on, and is attached to again.
func TestSandboxesOutliveTheAPIServer(t *testing.T) {
	user := sandboxUser(t)
	user.Running(t, "box", small, func(s *v1.SandboxSpec) { s.Timeout = ptr.To[int32](600) })
	user.Start(t, "counting", v1.ExecutionSpec{Sandbox: "box", Command: []string{"sh", "-c", "for i in $(seq 15); do echo $i; sleep 1; done"}, TimeoutSeconds: ptr.To[int32](120)})
	time.Sleep(2 * time.Second)
	if err := kube.CoreV1().Pods(system).DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=safebeam-apiserver"}); err != nil {
		t.Fatal(err)
	}
	status := user.Ended(t, "counting").Status
	want := ""
	for i := range 15 {
		want += fmt.Sprintln(i + 1)
	}
	if status.Phase != v1.ExecutionSucceeded || sandboxes.Text(status.Stdout) != want {
		t.Errorf("%s, %s: %q", status.Phase, status.Message, sandboxes.Text(status.Stdout))
	}
	if sandbox := user.Until(t, "box", v1.SandboxRunning); sandbox.Status.Phase != v1.SandboxRunning {
		t.Errorf("%+v", sandbox.Status)
	}
	if output := user.Sh(t, "box", "echo fine"); output.Stdout != "fine\n" {
		t.Errorf("%+v", output)
	}
}
