// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A thread that forks keeps a processor of the runtime's: one has to be left to whoever
// tells a child that was stopped to go on.
func TestForksLeaveAProcessorToEverybodyElse(t *testing.T) {
	b := newBirths(func() {})
	var now, most atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			i := b.begin()
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
			b.end(i)
		})
	}
	all.Wait()
	if n := most.Load(); int(n) > len(b.began) || len(b.began) > maxForks {
		t.Errorf("%d at one time, of %d", n, len(b.began))
	}
}

func TestGarbageIsNotCollectedDuringForksButBetweenThem(t *testing.T) {
	const percent = 77
	defer debug.SetGCPercent(debug.SetGCPercent(percent))
	b := newBirths(func() {})
	if len(b.began) < 2 {
		b.began = make([]time.Time, 2)
	}
	// current asks without changing it.
	current := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	first := b.begin()
	second := b.begin()
	b.end(first)
	if p := current(); p != -1 {
		t.Errorf("beside a fork the heap may grow by %d %%", p)
	}
	// However many there are, after a while they leave a moment without any.
	b.mu.Lock()
	b.since = time.Now().Add(-2 * labour)
	b.mu.Unlock()
	begun := make(chan int, 1)
	go func() {
		i := b.begin()
		begun <- current()
		b.end(i)
	}()
	collected := make(chan int, 1)
	go func() { b.undisturbed(func() { collected <- current() }) }()
	select {
	case <-begun:
		t.Error("a fork began beside one that goes on for too long")
	case <-collected:
		t.Error("a collection began beside a fork")
	case <-time.After(50 * time.Millisecond):
	}
	b.end(second)
	if p := <-collected; p != percent && p != -1 {
		t.Errorf("%d %%", p)
	}
	if p := <-begun; p != -1 {
		t.Errorf("beside a fork the heap may grow by %d %%", p)
	}
}

func TestAForkThatTakesLongIsLookedAfter(t *testing.T) {
	var looks atomic.Int32
	third := make(chan struct{})
	b := newBirths(func() {
		if looks.Add(1) == 3 {
			close(third)
		}
	})
	i := b.begin()
	<-third
	b.end(i)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n != 0 || b.watch.Stop() {
		t.Error("somebody looks after no fork")
	}
}
