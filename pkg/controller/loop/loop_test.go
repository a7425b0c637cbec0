// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func named(name string) cache.ObjectName { return cache.ObjectName{Namespace: "ns", Name: name} }

// run runs the loop until the test ends, and fails it if Run fails.
func run(t *testing.T, l *Loop) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(end)
	return end
}

func TestNamesOfBeforeAndDuringTheRunAreSynced(t *testing.T) {
	t.Parallel()
	synced := make(chan cache.ObjectName, 10)
	l := New("test", 2, clock.RealClock{}, func(_ context.Context, name cache.ObjectName) (time.Duration, error) {
		synced <- name
		return 0, nil
	})
	l.Enqueue(named("before"))
	run(t, l)
	if got := <-synced; got != named("before") {
		t.Errorf("synced %v", got)
	}
	l.Enqueue(named("during"))
	if got := <-synced; got != named("during") {
		t.Errorf("synced %v", got)
	}
}

func TestOneNameIsSyncedByOneWorkerAndAgainIfItChangesMeanwhile(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int32
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	l := New("test", 4, clock.RealClock{}, func(_ context.Context, name cache.ObjectName) (time.Duration, error) {
		if name == named("a") { // another's may begin before the last of these has returned
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
		}
		entered <- struct{}{}
		<-leave
		return 0, nil
	})
	run(t, l)
	l.Enqueue(named("a"))
	<-entered
	for range 10 {
		l.Enqueue(named("a"))
	}
	leave <- struct{}{}
	<-entered // once more, for all ten
	leave <- struct{}{}
	l.Enqueue(named("b"))
	<-entered
	leave <- struct{}{}
	if most.Load() != 1 || len(entered) != 0 {
		t.Errorf("%d workers at once, %d syncs too many", most.Load(), len(entered))
	}
}

func TestFailedSyncIsRepeatedLaterAndLater(t *testing.T) {
	t.Parallel()
	at := make(chan time.Time, 10)
	l := New("test", 1, clock.RealClock{}, func(context.Context, cache.ObjectName) (time.Duration, error) {
		at <- time.Now()
		return 0, errors.New("no")
	})
	run(t, l)
	l.Enqueue(named("a"))
	previous, least := <-at, firstRetry
	for range 6 {
		now := <-at
		if wait := now.Sub(previous); wait < least {
			t.Errorf("the wait is %s, want at least %s", wait, least)
		}
		previous, least = now, 2*least
	}
}

func TestRequeueAfterIsKept(t *testing.T) {
	t.Parallel()
	clk := clocktesting.NewFakeClock(time.Unix(0, 0))
	synced := make(chan struct{}, 10)
	l := New("test", 1, clk, func(context.Context, cache.ObjectName) (time.Duration, error) {
		synced <- struct{}{}
		return time.Hour, nil
	})
	run(t, l)
	l.Enqueue(named("a"))
	<-synced
	const heartbeats = 1 // of the queue, which always waits for the clock
	for clk.Waiters() <= heartbeats {
		time.Sleep(time.Millisecond)
	}
	clk.Step(time.Hour - 1)
	select {
	case <-synced:
		t.Fatal("too early")
	case <-time.After(20 * time.Millisecond):
	}
	clk.Step(time.Minute)
	<-synced
}

func TestRunWaitsForItsWorkers(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	var left atomic.Bool
	l := New("test", 1, clock.RealClock{}, func(ctx context.Context, _ cache.ObjectName) (time.Duration, error) {
		close(entered)
		<-ctx.Done()
		time.Sleep(10 * time.Millisecond) // cleaning up
		left.Store(true)
		return 0, ctx.Err()
	})
	end := run(t, l)
	l.Enqueue(named("a"))
	l.Enqueue(named("never begun"))
	<-entered
	end()
	if !left.Load() {
		t.Error("Run returned while a worker was at it")
	}
}

func TestEndBeforeTheInformersHaveSyncedIsNoError(t *testing.T) {
	t.Parallel()
	l := New("test", 1, clock.RealClock{}, func(context.Context, cache.ObjectName) (time.Duration, error) {
		t.Error("synced without informers")
		return 0, nil
	})
	l.Enqueue(named("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx, func() bool { return false }); err != nil {
		t.Error(err)
	}
}
