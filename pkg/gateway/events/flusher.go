// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/journal"
)

// A Source has events to make durable.
type Source interface {
	// Events is where they are, and the owner that they are kept under.
	Events() (*Hub, journal.Owner)
	// Flushing is called before events of the source are written.
	Flushing(ctx context.Context)
	// Persisted is told that the events up to number are durable; the hub knows.
	Persisted(number int64)
}

// source is compared by identity.
type source interface {
	comparable
	Source
}

// Flusher makes events durable in batches over all sources: what came within
// one interval goes to the disk in one append, so that an event costs a share
// of a sync and not one of its own.
type Flusher[S source] struct {
	journal  journal.Journal
	clock    clock.Clock
	interval time.Duration
	bytes    int

	mu      sync.Mutex
	sources map[S]int // bytes since the last flush
	wake    chan struct{}
	full    chan struct{}
}

// NewFlusher flushes after an interval, and before that what has grown to so
// many bytes.
func NewFlusher[S source](j journal.Journal, c clock.Clock, interval time.Duration, bytes int) *Flusher[S] {
	return &Flusher[S]{
		journal: j, clock: c, interval: interval, bytes: bytes,
		sources: map[S]int{}, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
	}
}

// Dirty notes that a source has events that are not durable.
func (f *Flusher[S]) Dirty(src S, bytes int) {
	f.mu.Lock()
	f.sources[src] += bytes
	full := f.sources[src] >= f.bytes
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

// Run flushes until ctx ends. The events of a source that ends are staged by
// the source itself, ahead of what ends it.
func (f *Flusher[S]) Run(ctx context.Context) {
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
		f.Flush(ctx)
	}
}

// Flush makes durable what is there now.
func (f *Flusher[S]) Flush(ctx context.Context) {
	f.mu.Lock()
	sources := f.sources
	f.sources = make(map[S]int, len(sources))
	select {
	case <-f.full: // it spoke of what is flushed now
	default:
	}
	f.mu.Unlock()

	last := map[S]int64{}
	var records []journal.Record
	for src := range sources {
		hub, owner := src.Events()
		events := hub.Pending()
		if len(events) == 0 {
			continue
		}
		src.Flushing(ctx)
		records = append(records, Records(owner, events)...)
		last[src] = events[len(events)-1].Number
	}
	for part := range Appends(records) {
		if err := f.journal.Append(ctx, part...); err != nil {
			// What is not durable is neither acknowledged nor forgotten. If
			// the store is down for good, it is sent again after the restart.
			for src := range last {
				f.Dirty(src, 0)
			}
			return
		}
	}
	for src, number := range last {
		hub, _ := src.Events()
		hub.Persisted(number)
		src.Persisted(number)
	}
}
