// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/harness"
)

func TestExecutionsEndOnceAndRunAtMostOnceUnderKillOfSandboxds(t *testing.T) {
	t.Parallel()
	underKill(t, 20, func(s *harness.Server, random *rand.Rand) {
		if pids := s.Sandboxds(); len(pids) > 0 {
			_ = syscall.Kill(pids[random.IntN(len(pids))], syscall.SIGKILL)
		}
	})
}

func TestExecutionsEndOnceAndRunAtMostOnceUnderKillOfTheServerAndSandboxds(t *testing.T) {
	t.Parallel()
	underKill(t, 10, func(s *harness.Server, random *rand.Rand) {
		// Some of the sandboxes have gone when the server goes, and it has not
		// heard of it.
		for _, pid := range s.Sandboxds() {
			if random.IntN(4) == 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		s.Kill()
		s.Restart()
	})
}

// waitForSuccess waits until one more execution has succeeded.
func waitForSuccess(t *testing.T, s *harness.Server) {
	t.Helper()
	succeeded := func() (n int) {
		list, err := s.Client.LlmsafespaceV1().Executions(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			if list.Items[i].Status.Phase == v1.ExecutionSucceeded {
				n++
			}
		}
		return n
	}
	before, deadline := succeeded(), time.Now().Add(3*time.Minute)
	for succeeded() == before {
		if time.Now().After(deadline) {
			t.Fatal("no execution succeeds any more")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// underKill kills something in each round, while executions are created, run,
// cancelled and read.
func underKill(t *testing.T, byDefault int, kill func(*harness.Server, *rand.Rand)) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("needs bwrap on PATH: apt-get install bubblewrap")
	}
	random := random(t)
	s := harness.Start(t)
	m := holdMarks(t, s)
	stop := startClient(t, s, executionLoad, 4)
	for round := range rounds(t, byDefault) {
		if round%2 == 1 {
			// A busy machine takes longer to start a sandbox than the next kill to
			// come, and what never runs proves nothing.
			waitForSuccess(t, s)
		}
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
		kill(s, random)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	r := stop()
	checkExecutions(t, s, r, m.ran(t))
}
