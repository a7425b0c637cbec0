// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// processes are those of a pod of hack/cluster that run the program.
func processes(t *testing.T, pod *corev1.Pod, program string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		cgroup, _ := os.ReadFile(filepath.Join(dir, "cgroup")) // it may have ended
		executable, _ := os.Readlink(filepath.Join(dir, "exe"))
		if strings.Contains(string(cgroup), "pod"+string(pod.UID)) && filepath.Base(executable) == program {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A job's process that is killed has no time for a word to anybody. What a
// reader has seen half of may fail, as Truncated; all else is answered by
// another job, and what was asked is in the log, once.
func TestJobProcessesKilledUnderLoadLoseNoTurn(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("kills processes of the node: on hack/cluster only")
	}
	ns := namespace(t)
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, jobs: {max: 2, turnsPerJob: 4}, retry: {maxAttempts: 5, backoffSeconds: 1}, parameters: {delayMillis: 150, deltas: 8}}
`)
	turns := load(t, ns, 8, 4)
	killing, stop := context.WithCancel(t.Context())
	defer stop()
	killed := make(chan int, 1)
	go func() {
		killed <- killJobs(killing, ns, 3, 2*time.Second, func(pod *corev1.Pod) (n int) {
			for _, pid := range processes(t, pod, "safebeam-llm-job") {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					n++
				}
			}
			return n
		})
	}()
	phases := map[tightbeamv1.TurnPhase]int{}
	for _, turn := range turns {
		now := terminal(t, turn, 120*time.Second)
		phases[now.Status.Phase]++
		if now.Status.Phase == tightbeamv1.TurnFailed && now.Status.Error.Class != tightbeamv1.ErrorTruncated {
			t.Errorf("turn %s failed: %+v", now.Name, now.Status.Error)
		}
	}
	stop()
	kills := <-killed
	t.Logf("%d turns, %d processes killed: %v", len(turns), kills, phases)
	if kills < 2 {
		t.Errorf("only %d processes were killed", kills)
	}
	if phases[tightbeamv1.TurnSucceeded] < len(turns)-kills*4 {
		t.Errorf("%d of %d succeeded, though a job has 4 turns at most", phases[tightbeamv1.TurnSucceeded], len(turns))
	}
	askedOnce(t, ns, turns)
}

// load asks in many conversations at once.
func load(t *testing.T, namespace string, conversations, perConversation int) (turns []*tightbeamv1.Turn) {
	t.Helper()
	for i := range conversations {
		name := "k" + strconv.Itoa(i)
		apply(t, namespace, "apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: "+name+"}\nspec: {model: echo}\n")
		for n := range perConversation {
			turn, err := own.TightbeamV1().Turns(namespace).Create(t.Context(), newTurn(name, name+" question "+strconv.Itoa(n)+"."), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			turns = append(turns, turn)
		}
	}
	return turns
}

// askedOnce checks that what the turns asked is in the logs of their
// conversations, in their order and once.
func askedOnce(t *testing.T, namespace string, turns []*tightbeamv1.Turn) {
	t.Helper()
	asked := map[string][]string{}
	for _, turn := range turns {
		asked[turn.Spec.Conversation] = append(asked[turn.Spec.Conversation], *turn.Spec.Messages[0].Content[0].Text)
	}
	for conversation, want := range asked {
		var got []string
		for _, entry := range conversationLog(t, namespace, conversation) {
			if entry.Role == tightbeamv1.RoleUser {
				got = append(got, *entry.Content[0].Text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the log of %s has the questions %q, want %q", conversation, got, want)
		}
	}
}
