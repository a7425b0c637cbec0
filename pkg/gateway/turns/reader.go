// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
)

// Reader reads the events of one turn. It is for one goroutine.
type Reader = events.Reader

// Read returns a reader of the turn's events after a number. Errors are API
// statuses: Expired (410) for a number that was never given out, NotFound.
func (b *Broker) Read(ctx context.Context, object *tightbeamv1.Turn, after int64) (*Reader, error) {
	r := &Reader{Journal: b.journal, Owner: eventsOwner(object.UID), After: after, Stopped: b.ctx.Done()}
	t, current, err := b.locate(ctx, object)
	if err != nil {
		return nil, err
	}
	var known int64 // the highest number that a reader can have seen
	if t == nil {
		r.Final = terminalEvent(current)
		known = current.Status.LastEvent
	} else {
		if err := t.told(ctx); err != nil {
			return nil, err
		}
		r.Live = t.hub
		t.mu.Lock()
		known = max(t.uncertainTo, t.hub.Last())
		t.mu.Unlock()
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

// told waits while the end of the turn, or of its attempt, is written but not
// told yet: whoever has seen that status may count on its event.
func (t *turn) told(ctx context.Context) error {
	t.mu.Lock()
	deciding := t.state == ending || t.state == ended
	t.mu.Unlock()
	if !deciding {
		return nil
	}
	if err := t.op.lockContext(ctx); err != nil {
		return err
	}
	t.op.unlock()
	return nil
}

// AwaitLog waits until the log of a conversation has what those of its turns said
// that have their terminal phase by now: whoever has seen that may count on it.
func (b *Broker) AwaitLog(ctx context.Context, conversation types.UID) error {
	b.mu.Lock()
	var unfinished []*turn
	if c := b.conversations[conversation]; c != nil {
		for _, s := range c.queue {
			if s.turn != nil {
				unfinished = append(unfinished, s.turn)
			}
		}
	}
	b.mu.Unlock()
	for _, t := range unfinished {
		if err := t.followedUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

// followedUp waits while a turn that has its terminal phase is being followed up.
func (t *turn) followedUp(ctx context.Context) error {
	if err := t.told(ctx); err != nil {
		return err
	}
	if !t.over() {
		return nil
	}
	select {
	case <-t.left:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.broker.ctx.Done():
		return ErrStopped
	}
}
