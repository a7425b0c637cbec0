// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

var garbage []byte

func TestTheHeapIsBoundedThoughTheRuntimeDoesNotCollect(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	c := newCollector()
	c.next = c.heap() + headroom
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var collected atomic.Int32
	go func() {
		defer close(done)
		c.run(ctx, func(collect func()) { collect(); collected.Add(1) })
	}()
	made := 0
	for n := range int32(10) {
		for collected.Load() == n {
			garbage = make([]byte, 2*headroom)
			made++
			c.tell()
			for len(c.told) > 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	cancel()
	<-done
	// What comes while it collects counts for the next time: one piece may come while
	// it does, and one before it has looked at what is left.
	if made > 30 {
		t.Errorf("%d pieces of garbage were collected in 10 times", made)
	}
}

func TestASmallHeapIsNotCollected(t *testing.T) {
	c := newCollector()
	c.next = 1 << 40
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, func(func()) { t.Error("a small heap was collected") })
	}()
	c.tell()
	for len(c.told) > 0 {
		runtime.Gosched()
	}
	cancel()
	<-done
}
