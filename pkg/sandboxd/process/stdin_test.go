// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import "testing"

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
