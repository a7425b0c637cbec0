// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"errors"
	"fmt"
	"io"

	"safebeam.dev/safebeam/pkg/journal"
)

// ErrStopped says that who publishes the events has stopped.
var ErrStopped = errors.New("the server is stopping")

// Reader reads the events of one source after a number, from the journal as far
// as they are old, then live. It is for one goroutine.
type Reader struct {
	Journal journal.Journal
	Owner   journal.Owner
	// Live has the newest events; nil if the source has ended and left.
	Live *Hub
	// Final is the terminal event of a source that has ended and left.
	Final Event
	// After is the number of the last event that was read.
	After int64
	// Stopped is closed when nothing is published any more.
	Stopped <-chan struct{}

	ended bool
}

// readPage is how many batches are read from the journal at once.
const readPage = 16

// Next returns the next events, at least one, waiting for them until ctx ends.
// After the terminal event it returns io.EOF.
func (r *Reader) Next(ctx context.Context) ([]Event, error) {
	for {
		events, more, err := r.read(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		if more == nil {
			return nil, io.EOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.Stopped:
			return nil, ErrStopped
		}
	}
}

// Available returns the next events that are there now, none if there are
// none, and io.EOF after the terminal event.
func (r *Reader) Available(ctx context.Context) ([]Event, error) {
	events, more, err := r.read(ctx)
	if err == nil && len(events) == 0 && more == nil {
		return nil, io.EOF
	}
	return events, err
}

// read returns events that are there, or else what tells of more; neither at
// the end.
func (r *Reader) read(ctx context.Context) ([]Event, <-chan struct{}, error) {
	if r.ended {
		return nil, nil, nil
	}
	var changed <-chan struct{}
	if r.Live != nil {
		var events []Event
		var older, ended bool
		events, older, ended, changed = r.Live.After(r.After)
		if len(events) > 0 {
			r.advance(events)
			return events, changed, nil
		}
		if !older {
			if ended {
				r.ended = true
				return nil, nil, nil
			}
			return nil, changed, nil
		}
	}
	records, err := r.Journal.Read(ctx, r.Owner, r.After, readPage)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the events of %s: %w", r.Owner, err)
	}
	var events []Event
	for _, record := range records {
		batch, err := Decode(record, r.After)
		if err != nil {
			return nil, nil, err
		}
		r.advance(batch)
		events = append(events, batch...)
	}
	if len(events) > 0 {
		return events, closed, nil
	}
	last := r.Final
	if r.Live != nil {
		// Its terminal event is all that is left, or the source was deleted
		// with its journal, after which that event is the last.
		var ended bool
		if last, ended = r.Live.Terminal(); !ended {
			return nil, changed, nil
		}
	}
	r.ended = true
	if last.Number <= r.After {
		return nil, nil, nil
	}
	r.After = last.Number
	return []Event{last}, closed, nil
}

func (r *Reader) advance(events []Event) {
	if n := len(events); n > 0 {
		r.After, r.ended = events[n-1].Number, events[n-1].Last
	}
}

var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
