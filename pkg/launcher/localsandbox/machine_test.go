// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
)

// closable is a machine that knows what it may be asked when.
type closable struct {
	*fakeMachine
	t      *testing.T
	last   *fakeProcess
	closed int
}

func (m *closable) Close() error {
	select {
	case <-m.last.done:
	default:
		m.t.Error("it is closed while a sandbox runs")
	}
	m.closed++
	return nil
}

func TestAMachineIsClosedWhenNothingRunsAnyMore(t *testing.T) {
	t.Parallel()
	w := begin(t, 1)
	machine := &closable{fakeMachine: w.machine, t: t}
	l := New(Options{Machine: machine, Tokens: w.tokens, Node: "node", MaxPods: 1})
	if _, err := l.Launch(t.Context(), specOf("one")); err != nil {
		t.Fatal(err)
	}
	<-machine.started
	machine.last = <-w.machine.process
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil || machine.closed != 1 {
		t.Errorf("closed %d times, %v", machine.closed, err)
	}
}

// Every data directory has a directory of sockets of its own, with a copy of
// sandboxd: they would add up.
func TestNothingOfAMachineIsLeftInTheTemporaryDirectory(t *testing.T) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("needs bwrap on PATH: apt-get install bubblewrap")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	machine, err := NewMachine(MachineOptions{Sandboxd: "/bin/true", DataDir: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(temporary + "/*/*")
	if err != nil || len(made) == 0 {
		t.Fatalf("%v, %v: this test looks elsewhere", made, err)
	}
	if err := machine.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(temporary + "/*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
