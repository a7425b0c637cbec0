// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"time"

	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// ackInterval bounds how often a job is told what is durable: often enough to
// keep its buffer small, seldom enough to cost nothing.
const ackInterval = 200 * time.Millisecond

// acknowledger tells a job what is durable of its answer, and that it may stop.
// While nothing is owed it is a timer that does not run: a server has thousands
// of these.
type acknowledger struct {
	result *turns.Stream
	send   func(*pb.TurnAck) error
	// unwatch ends the watch for the attempt's end.
	unwatch func() bool

	// mu is held over sends, of which a stream takes one at a time.
	mu      sync.Mutex
	timer   *time.Timer // nil: never owed
	running bool
	stopped bool
	told    int64
}

func newAcknowledger(result *turns.Stream, send func(*pb.TurnAck) error) *acknowledger {
	a := &acknowledger{result: result, send: send}
	a.unwatch = result.AfterOver(a.over)
	return a
}

// owe is called when a chunk may have been taken: what becomes durable of it is
// told after the interval.
func (a *acknowledger) owe() {
	if a.result.Taken() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.running || a.stopped:
	case a.timer == nil:
		a.running, a.timer = true, time.AfterFunc(ackInterval, a.tell)
	default:
		a.running = true
		a.timer.Reset(ackInterval)
	}
}

// tell runs once per interval for as long as something is owed.
func (a *acknowledger) tell() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = false
	if a.stopped {
		return
	}
	if received := a.result.Received(); received > a.told {
		if a.send(&pb.TurnAck{Received: received}) != nil {
			return // the receiver will know
		}
		a.told = received
	}
	if a.told < a.result.Taken() {
		a.running = true
		a.timer.Reset(ackInterval)
	}
}

// over tells the job to stop. The chunk that ended the attempt is acknowledged
// by its receiver.
func (a *acknowledger) over() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || a.result.Ending() {
		return
	}
	a.stopped = true
	_ = a.send(&pb.TurnAck{Received: a.result.Received(), Cancel: true})
}

// stop returns when nothing is being sent, and nothing will be.
func (a *acknowledger) stop() {
	a.unwatch()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
