// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/journal"
)

// flusher makes events durable in batches over all turns: what came within one
// interval goes to the disk in one append, so that a delta costs a share of a
// sync and not one of its own.
type flusher struct {
	journal  journal.Journal
	clock    clock.Clock
	interval time.Duration
	bytes    int

	mu    sync.Mutex
	turns map[*turn]int // bytes since the last flush
	wake  chan struct{}
	full  chan struct{}
}

func newFlusher(j journal.Journal, c clock.Clock, interval time.Duration, bytes int) *flusher {
	return &flusher{
		journal: j, clock: c, interval: interval, bytes: bytes,
		turns: map[*turn]int{}, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
	}
}

// dirty notes that a turn has events that are not durable.
func (f *flusher) dirty(t *turn, bytes int) {
	f.mu.Lock()
	f.turns[t] += bytes
	full := f.turns[t] >= f.bytes
	f.mu.Unlock()
	signal(f.wake)
	if full {
		signal(f.full)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run flushes until ctx ends. The events of a turn that ends are staged by the
// turn itself, ahead of its terminal status.
func (f *flusher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		timer := f.clock.NewTimer(f.interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		case <-f.full:
			timer.Stop()
		}
		f.flush(ctx)
	}
}

func (f *flusher) flush(ctx context.Context) {
	f.mu.Lock()
	turns := f.turns
	f.turns = make(map[*turn]int, len(turns))
	select {
	case <-f.full: // it spoke of what is flushed now
	default:
	}
	f.mu.Unlock()

	last := map[*turn]int64{}
	var records []journal.Record
	for t := range turns {
		events := t.hub.pending()
		if len(events) == 0 {
			continue
		}
		t.logOwn(ctx)
		records = append(records, batchRecords(eventsOwner(t.uid), events)...)
		last[t] = events[len(events)-1].Number
	}
	for part := range appends(records) {
		if err := f.journal.Append(ctx, part...); err != nil {
			// What is not durable is neither acknowledged nor forgotten. If
			// the store is down for good, jobs send it again after the restart.
			for t := range last {
				f.dirty(t, 0)
			}
			return
		}
	}
	for t, number := range last {
		t.persisted(number)
	}
}

// stagePending stages what the turn has not made durable, and the events that
// are not published yet, ahead of a write of the caller's: its messages, where
// they are not in the conversation's log, and its events.
func (t *turn) stagePending(ctx context.Context, more ...Event) error {
	events := append(t.hub.pending(), more...)
	if len(events) == 0 {
		return nil
	}
	t.logOwn(ctx)
	for part := range appends(batchRecords(eventsOwner(t.uid), events)) {
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

// persisted is told that the events up to number are durable.
func (t *turn) persisted(number int64) {
	t.hub.persisted(number)
	t.mu.Lock()
	stream := t.attempt.stream
	t.mu.Unlock()
	if stream != nil {
		signal(stream.progress)
	}
}
