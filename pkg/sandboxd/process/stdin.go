// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"io"
	"sync"
)

// StdinWindow is how much of stdin may be unwritten. The gateway sends no more,
// so that a process that does not read never stops what else is said about it.
const StdinWindow = 256 << 10

// stdinQueue holds what a process has not yet read of its stdin.
type stdinQueue struct {
	mu       sync.Mutex
	more     sync.Cond
	pending  [][]byte
	received uint64
	written  uint64
	eof      bool
	closed   bool
	change   chan struct{} // closed, and made anew, when written or closed change
}

func newStdinQueue() *stdinQueue {
	q := &stdinQueue{change: make(chan struct{})}
	q.more.L = &q.mu
	return q
}

// put takes data that begins at offset of the stream. What has already arrived
// is skipped; a hole or too much is an error of the sender.
func (q *stdinQueue) put(offset uint64, data []byte, eof bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if offset > q.received {
		return fmt.Errorf("stdin at %d leaves a hole: %d bytes have arrived", offset, q.received)
	}
	if skip := q.received - offset; skip < uint64(len(data)) {
		data = data[skip:]
	} else {
		data = nil
	}
	if q.closed {
		q.received += uint64(len(data)) // on its way when the process closed it
		return nil
	}
	if q.received-q.written+uint64(len(data)) > StdinWindow {
		return fmt.Errorf("stdin of more than %d bytes ahead of the process", StdinWindow)
	}
	q.received += uint64(len(data))
	q.eof = q.eof || eof
	if len(data) > 0 {
		q.pending = append(q.pending, data)
	}
	q.more.Signal()
	return nil
}

// copyTo writes to the process until the end of its stdin. end is called at the
// end of the stream, not if the process closed it.
func (q *stdinQueue) copyTo(w io.Writer, end func()) {
	defer q.close()
	for {
		q.mu.Lock()
		for len(q.pending) == 0 && !q.eof && !q.closed {
			q.more.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		if len(q.pending) == 0 {
			q.mu.Unlock()
			end()
			return
		}
		data := q.pending[0]
		q.pending = q.pending[1:]
		q.mu.Unlock()
		if _, err := w.Write(data); err != nil {
			return
		}
		q.mu.Lock()
		if !q.closed { // or close has counted these as well
			q.written += uint64(len(data))
			q.signal()
		}
		q.mu.Unlock()
	}
}

// close makes everything that comes and waits void.
func (q *stdinQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	q.pending = nil
	q.written = q.received
	q.more.Signal()
	q.signal()
}

func (q *stdinQueue) signal() {
	close(q.change)
	q.change = make(chan struct{})
}

// state is what the gateway is told.
func (q *stdinQueue) state() (received, written uint64, closed bool, change <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.received, q.written, q.closed, q.change
}
