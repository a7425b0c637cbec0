// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is what the heap grows by between two collections, and a little more, since
// it grows while it is asked for.
const headroom = 1 << 20

// collector collects garbage in place of the runtime's own collector, which Harden
// turns off: it has to wait until no fork is under way (process/birth.go). It is told
// of whatever may have left garbage, every message among it.
type collector struct {
	told    chan struct{}
	samples []metrics.Sample
	next    uint64 // the size of the heap to collect at
}

func newCollector() *collector {
	return &collector{
		told:    make(chan struct{}, 1),
		samples: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}},
		next:    headroom,
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
		// With the runtime's own collector off, nobody else gives back what is free.
		undisturbed(debug.FreeOSMemory)
		c.next = c.heap() + headroom
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
