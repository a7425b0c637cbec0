// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
