// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"slices"
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

// Whoever wants a moment without forks gets it, however many there are.
func TestACollectionWaitsForForksAndForksForIt(t *testing.T) {
	b := newBirths(func() {})
	if len(b.began) < 2 {
		b.began = make([]time.Time, 2)
	}
	first := b.begin()
	second := b.begin()
	var order sync.Mutex
	var happened []string
	say := func(what string) {
		order.Lock()
		defer order.Unlock()
		happened = append(happened, what)
	}
	var all sync.WaitGroup
	all.Go(func() {
		b.undisturbed(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.n != 0 {
				t.Errorf("%d forks", b.n)
			}
			say("collection")
		})
	})
	wanted := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.quiet > 0
	}
	for !wanted() {
		time.Sleep(time.Millisecond)
	}
	b.end(first)
	all.Go(func() {
		i := b.begin()
		say("fork")
		b.end(i)
	})
	time.Sleep(20 * time.Millisecond) // for a fork that does not wait
	say("end")
	b.end(second)
	all.Wait()
	if want := []string{"end", "collection", "fork"}; !slices.Equal(happened, want) {
		t.Errorf("%v, want %v", happened, want)
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
