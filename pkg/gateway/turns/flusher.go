// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"

	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/journal"
)

var _ events.Source = (*turn)(nil)

// Events implements events.Source.
func (t *turn) Events() (*events.Hub, journal.Owner) { return t.hub, t.owner }

// Flushing implements events.Source.
func (t *turn) Flushing(ctx context.Context) { t.logOwn(ctx) }

// stagePending stages what the turn has not made durable, and the events that
// are not published yet, ahead of a write of the caller's: its messages, where
// they are not in the conversation's log, and its events.
func (t *turn) stagePending(ctx context.Context, more ...Event) error {
	pending := append(t.hub.Pending(), more...)
	if len(pending) == 0 {
		return nil
	}
	t.logOwn(ctx)
	for part := range events.Appends(events.Records(t.owner, pending)) {
		if err := journal.Refused(t.broker.journal.Stage(ctx, part...)); err != nil {
			return fmt.Errorf("writing the events of turn %s: %w", t, err)
		}
	}
	return nil
}

// logOwn stages the turn's messages into the conversation's log, once it runs.
// A failure is repeated with the next events, at last with the turn's end.
func (t *turn) logOwn(ctx context.Context) {
	t.mu.Lock()
	object, logged := t.object, t.logged
	t.logged = true
	t.mu.Unlock()
	if logged {
		return
	}
	if _, err := t.broker.log.Stage(ctx, t.conversation.uid, object, entries(object, nil)); err != nil {
		t.broker.logger.Error(err, "cannot stage messages", "turn", t.String())
		t.mu.Lock()
		t.logged = false
		t.mu.Unlock()
	}
}

// Persisted implements events.Source. Jobs are told at an interval of their own.
func (t *turn) Persisted(int64) {}
