// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

var garbage []byte

func TestTheHeapIsBoundedThoughTheRuntimeDoesNotCollect(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	c := newCollector()
	live := c.heap()
	c.next = live + headroom
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	collected := make(chan struct{}, 1000)
	go func() {
		defer close(done)
		c.run(ctx, func(collect func()) { collect(); collected <- struct{}{} })
	}()
	const messages, size = 20 * fewMessages, 1 << 20
	for i := range messages {
		garbage = make([]byte, size)
		c.message()
		if i%(fewMessages*2) == fewMessages*2-1 {
			<-collected // it was told of twice that many, each of a third of the headroom
		}
	}
	cancel()
	<-done
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if most := live + headroom + 3*fewMessages*size; m.HeapSys > 2*most {
		t.Errorf("a heap of %d after %d of garbage", m.HeapSys, messages*size)
	}
}

func TestFewMessagesAndASmallHeapAreNotCollected(t *testing.T) {
	c := newCollector()
	for range fewMessages - 1 {
		c.message()
	}
	if len(c.told) != 0 {
		t.Error("it was told of few messages")
	}
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
