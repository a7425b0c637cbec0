// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// over is a process of a manager that said something and is over, as far as the
// manager is concerned.
func over(t *testing.T, m *Manager, id string) (*Process, *Attachment) {
	t.Helper()
	p := &Process{spec: Spec{ID: id}, output: newOutputLog(OutputPolicy{}), done: make(chan struct{})}
	m.processes[id] = p
	a, err := p.Attach(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(p.output, Stdout, id)
	p.output.close()
	close(p.done)
	m.ended(p)
	return p, a
}

// Many short processes may end before their readers come to read.
func TestNoProcessIsForgottenWhileItsOutputIsRead(t *testing.T) {
	m := NewManager(Options{})
	var readers []*Attachment
	for i := range 3 * maxEnded {
		_, a := over(t, m, fmt.Sprint(i))
		readers = append(readers, a)
	}
	for i, a := range readers {
		if chunk, ok, _, _ := a.Next(); !ok || string(chunk.Data) != fmt.Sprint(i) || a.Lost() {
			t.Fatalf("process %d said %q, %v, lost: %v", i, chunk.Data, ok, a.Lost())
		}
		if _, ok, closed, _ := a.Next(); ok || !closed || a.Lost() {
			t.Fatalf("process %d is not at its end", i)
		}
		m.Release(a.p)
		if a.Lost() {
			t.Fatalf("process %d was released by who had read all of it, and has lost something", i)
		}
	}
	if len(m.processes) != 0 || len(m.endings) != 0 || len(m.forgotten) != 0 {
		t.Errorf("%d processes, %d endings, %d forgotten", len(m.processes), len(m.endings), len(m.forgotten))
	}
}

// What nobody reads is bounded, and the oldest goes; whoever comes for it is told so,
// and nobody runs it again.
func TestWhoComesTooLateIsToldSo(t *testing.T) {
	m := NewManager(Options{})
	first, a := over(t, m, "first")
	a.Detach()
	late, err := first.Attach(context.Background(), 0) // as one does that has just found it
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxEnded + 1 {
		_, a := over(t, m, fmt.Sprint(i))
		a.Detach()
	}
	_, last := over(t, m, "last")
	if m.Get("first") == nil {
		t.Fatal("it was forgotten while somebody was attached")
	}
	if !m.Forgot("0") || m.Get("0") != nil {
		t.Error("the oldest of those that nobody reads is still there")
	}
	if _, err := m.Start(Spec{ID: "0", Argv: []string{"true"}}); !errors.Is(err, ErrExists) {
		t.Errorf("starting it again: %v", err)
	}
	late.Detach()
	last.Detach()
	for i := range 2 * maxForgotten {
		_, a := over(t, m, fmt.Sprintf("more-%d", i))
		a.Detach()
	}
	if most := maxEnded + 1; len(m.endings) > most || len(m.processes) > most || len(m.forgotten) != maxForgotten {
		t.Errorf("%d endings, %d processes, %d forgotten", len(m.endings), len(m.processes), len(m.forgotten))
	}
	if _, ok, _, _ := late.Next(); ok || !late.Lost() {
		t.Error("who comes too late for the output is not told that there was some")
	}
}
