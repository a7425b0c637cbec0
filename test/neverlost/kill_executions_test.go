// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"

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
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
		kill(s, random)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	r := stop()
	checkExecutions(t, s, r, m.ran(t))
}
