// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"time"
)

var errIdle = errors.New("the stream has said nothing for a while")

// quiet is a context that ends when a stream has been idle for too long. It
// serves many waits, so that a record costs no context and no timer.
type quiet struct {
	context.Context
	idle  time.Duration
	timer *time.Timer
	end   context.CancelCauseFunc
}

func newQuiet(parent context.Context, idle time.Duration) *quiet {
	ctx, end := context.WithCancelCause(parent)
	return &quiet{Context: ctx, idle: idle, end: end, timer: time.AfterFunc(idle, func() { end(errIdle) })}
}

// over reports whether it was idleness that ended it.
func (q *quiet) over() bool { return q.Err() != nil && errors.Is(context.Cause(q), errIdle) }

// heard lets the time begin anew.
func (q *quiet) heard() { q.timer.Reset(q.idle) }

func (q *quiet) stop() {
	q.timer.Stop()
	q.end(nil)
}
