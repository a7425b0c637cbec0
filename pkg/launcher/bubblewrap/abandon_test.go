// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestAStartThatIsGivenUpLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := &Sandbox{log: &tail{}}
	// As bwrap does, it has a child that waits and could still write.
	s.cmd = exec.Command("sh", "-c", "sleep 1000 & echo made >&2; wait")
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = (&Launcher{}).credentials(0)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(s.log.String(), "made") {
		time.Sleep(time.Millisecond)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.abandon()
	}()
	select {
	case <-over:
	case <-time.After(time.Minute):
		t.Fatal("it is waited for though it was given up")
	}
}
