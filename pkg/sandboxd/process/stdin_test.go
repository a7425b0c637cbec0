// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"testing"
)

// closing is a process that reads what it is given and is over before its writer
// knows.
type closing struct{ queue *stdinQueue }

func (w closing) Write(data []byte) (int, error) {
	w.queue.close()
	return len(data), nil
}

func TestNoMoreStdinIsWrittenThanCame(t *testing.T) {
	queue := newStdinQueue()
	if err := queue.put(0, []byte("some"), false); err != nil {
		t.Fatal(err)
	}
	queue.copyTo(closing{queue}, func() { t.Error("stdin ended") })
	if received, written, closed, _ := queue.state(); received != 4 || written != 4 || !closed {
		t.Errorf("%d bytes came and %d are written; closed: %v", received, written, closed)
	}
	if err := queue.put(4, []byte("more"), true); err != nil {
		t.Error(err)
	}
}

// What is on its way when a process closes its stdin is no error, however much it is.
func TestStdinThatComesTooLateIsCountedAndDropped(t *testing.T) {
	queue := newStdinQueue()
	queue.close()
	piece := make([]byte, StdinWindow)
	for i := range uint64(3) {
		if err := queue.put(i*StdinWindow, piece, false); err != nil {
			t.Fatal(err)
		}
	}
	if received, _, _, _ := queue.state(); received != 3*StdinWindow || len(queue.pending) != 0 {
		t.Errorf("%d bytes came, %d pieces are held", received, len(queue.pending))
	}
	if err := queue.put(4*StdinWindow, piece, false); err == nil {
		t.Error("a hole is taken")
	}
}

// The next attachment was told how much has come, and counts on it.
func TestAnAttachmentThatIsOverIsNotHeard(t *testing.T) {
	p := &Process{output: newOutputLog(OutputPolicy{}), stdin: newStdinQueue()}
	first, err := p.Attach(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Input(0, []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	first.Detach()
	second, err := p.Attach(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Input(3, []byte("two"), false); !errors.Is(err, ErrTakenOver) {
		t.Errorf("got %v", err)
	}
	if received, _, _, _ := second.InputState(); received != 3 {
		t.Errorf("%d bytes have come", received)
	}
}
