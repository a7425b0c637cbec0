// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
)

const (
	// headroom is what the heap grows by between two collections, or half of what
	// lives if that is more.
	headroom = 3 << 20
	// fewMessages leave no garbage that is worth a look at the heap.
	fewMessages = 8
)

// collector collects garbage in place of the runtime's own collector, which Harden
// turns off: it has to wait until no fork is under way (process/birth.go). It is told
// of whatever may have left garbage.
type collector struct {
	messages atomic.Uint32
	told     chan struct{}
	samples  []metrics.Sample
	next     uint64 // the size of the heap to collect at
}

func newCollector() *collector {
	return &collector{
		told:    make(chan struct{}, 1),
		samples: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}},
		next:    2 * headroom,
	}
}

// message notes one that came or went.
func (c *collector) message() {
	if c.messages.Add(1)%fewMessages == 0 {
		c.tell()
	}
}

// tell has the heap looked at.
func (c *collector) tell() {
	select {
	case c.told <- struct{}{}:
	default:
	}
}

// run collects, undisturbed, until ctx is over.
func (c *collector) run(ctx context.Context, undisturbed func(func())) {
	for {
		select {
		case <-c.told:
		case <-ctx.Done():
			return
		}
		if c.heap() < c.next {
			continue
		}
		undisturbed(runtime.GC)
		live := c.heap()
		c.next = live + max(headroom, live/2)
	}
}

// heap is what lives in it, and garbage.
func (c *collector) heap() uint64 {
	metrics.Read(c.samples)
	if c.samples[0].Value.Kind() != metrics.KindUint64 {
		return 1 << 62 // a runtime that does not tell: it is collected as often as asked
	}
	return c.samples[0].Value.Uint64()
}
