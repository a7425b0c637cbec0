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
	c.next = c.heap() + headroom
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	collected := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, func(collect func()) { collect(); collected <- struct{}{} })
	}()
	for range 10 {
		garbage = make([]byte, 2*headroom)
		c.tell()
		<-collected
	}
	cancel()
	<-done
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
