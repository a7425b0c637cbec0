// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Reader reads the events of one turn, from the journal as far as they are
// old, then live. It is for one goroutine.
type Reader struct {
	broker *Broker
	object *tightbeamv1.Turn
	live   *hub // nil: the turn has ended and left
	after  int64
	ended  bool
}

// readPage is how many batches are read from the journal at once.
const readPage = 16

// Read returns a reader of the turn's events after a number. Errors are API
// statuses: Expired (410) for a number that was never given out, NotFound.
func (b *Broker) Read(ctx context.Context, object *tightbeamv1.Turn, after int64) (*Reader, error) {
	r := &Reader{broker: b, object: object, after: after}
	known, err := r.attach(ctx)
	if err != nil {
		return nil, err
	}
	if after > known {
		message := fmt.Sprintf("after=%d lies in the future: turn %q has given out no event number beyond %d; read it again with after=%d or less", after, object.Name, known, known)
		expired := apierrors.NewResourceExpired(message)
		expired.ErrStatus.Details = &metav1.StatusDetails{
			Group: tightbeamv1.GroupName, Kind: "turns", Name: object.Name, UID: object.UID,
			Causes: []metav1.StatusCause{{Type: metav1.CauseTypeFieldValueInvalid, Field: "after", Message: message}},
		}
		return nil, expired
	}
	return r, nil
}

// attach finds where the turn's events are, and returns the highest number
// that a reader can have seen.
func (r *Reader) attach(ctx context.Context) (known int64, err error) {
	t, current, err := r.broker.locate(ctx, r.object)
	if err != nil {
		return 0, err
	}
	if t == nil {
		r.object = current
		return current.Status.LastEvent, nil
	}
	r.live = t.hub
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.uncertainTo, t.hub.lastNumber()), nil
}

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
		case <-r.broker.ctx.Done():
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
	if r.live != nil {
		var events []Event
		var older, ended bool
		events, older, ended, changed = r.live.after(r.after)
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
	records, err := r.broker.journal.Read(ctx, eventsOwner(r.object.UID), r.after, readPage)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the events of turn %s/%s: %w", r.object.Namespace, r.object.Name, err)
	}
	var events []Event
	for _, record := range records {
		batch, err := batchEvents(record, r.after)
		if err != nil {
			return nil, nil, err
		}
		r.advance(batch)
		events = append(events, batch...)
	}
	if len(events) > 0 {
		return events, closed, nil
	}
	if r.live != nil {
		// Its terminal event is all that is left, or the turn was deleted with
		// its journal, after which that event is the last.
		last, ended := r.live.terminal()
		if !ended {
			return nil, changed, nil
		}
		r.ended = true
		if last.Number <= r.after {
			return nil, nil, nil
		}
		r.after = last.Number
		return []Event{last}, closed, nil
	}
	r.ended = true
	if r.after >= r.object.Status.LastEvent {
		return nil, nil, nil
	}
	return []Event{terminalEvent(r.object)}, nil, nil
}

func (r *Reader) advance(events []Event) {
	if n := len(events); n > 0 {
		r.after = events[n-1].Number
		r.ended = events[n-1].Type.Terminal()
	}
}

var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
