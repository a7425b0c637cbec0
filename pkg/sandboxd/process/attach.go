// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"time"
)

// ErrTakenOver ends an attachment when another one takes its place.
var ErrTakenOver = errors.New("another attachment took the place of this one")

// An Attachment is the one reader of a process.
type Attachment struct {
	p        *Process
	kicked   chan struct{}
	detached chan struct{}
	sent     uint64
}

// Attach makes the caller the one who reads p after a chunk number, and frees what
// lies before. An attachment that is there is ended and waited for.
func (p *Process) Attach(ctx context.Context, after uint64) (*Attachment, error) {
	a := &Attachment{p: p, kicked: make(chan struct{}), detached: make(chan struct{}), sent: after}
	for {
		p.mu.Lock()
		old := p.attached
		if old == nil {
			p.attached = a
			p.mu.Unlock()
			p.output.resume(after)
			return a, nil
		}
		select {
		case <-old.kicked:
		default:
			close(old.kicked)
		}
		p.mu.Unlock()
		select {
		case <-old.detached:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// left reports whether somebody was attached and nobody is any more. A process that
// was just started is about to be attached to.
func (p *Process) left() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.detached && p.attached == nil
}

// Detach lets go of the process, which runs on.
func (a *Attachment) Detach() {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	if a.p.attached == a {
		a.p.attached, a.p.detached = nil, true
		a.p.idle = time.Now()
	}
	close(a.detached)
}

// Kicked is closed when another attachment wants the process.
func (a *Attachment) Kicked() <-chan struct{} { return a.kicked }

// Capped reports whether the output is kept to a cap.
func (a *Attachment) Capped() bool { return a.p.output.policy.Capped }

// Lost reports whether there was output that this attachment will not get, as the
// process was forgotten.
func (a *Attachment) Lost() bool { return a.p.output.lost(a.sent) }

// Next returns the next chunk. Without one it returns whether the output is
// complete, and what to wait for.
func (a *Attachment) Next() (chunk Chunk, ok, closed bool, change <-chan struct{}) {
	chunk, ok, closed, change = a.p.output.next(a.sent)
	if ok {
		a.sent = chunk.Number
	}
	return chunk, ok, closed, change
}

// Acknowledge frees the output up to a number.
func (a *Attachment) Acknowledge(number uint64) { a.p.output.acknowledge(number) }

// Input takes stdin. Whoever is attached no more is not heard any more: the next one
// was told how much has come.
func (a *Attachment) Input(offset uint64, data []byte, eof bool) error {
	if a.p.stdin == nil {
		return errors.New("the process has no stdin")
	}
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	if a.p.attached != a {
		return ErrTakenOver
	}
	return a.p.stdin.put(offset, data, eof)
}

// InputState is how far stdin is. Without stdin, change is nil.
func (a *Attachment) InputState() (received, written uint64, closed bool, change <-chan struct{}) {
	if a.p.stdin == nil {
		return 0, 0, true, nil
	}
	return a.p.stdin.state()
}
