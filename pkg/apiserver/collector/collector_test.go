// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheShareIsLargeWhereLittleLives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 200}, {1 << 20, 200}, {24 << 20, 200}, {48 << 20, 100}, {75 << 20, 64}, {96 << 20, 50}, {4 << 30, 50},
	} {
		if got := percent(c.live); got != c.want {
			t.Errorf("with %d MiB alive: %d, want %d", c.live>>20, got, c.want)
		}
	}
}

func TestACollectionAdjustsTheNext(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	Pace()
	much := make([]*[1 << 16]*int, 0, 300) // pointers, which are looked at
	for range cap(much) {
		much = append(much, new([1 << 16]*int))
	}
	now := func() int {
		current := debug.SetGCPercent(100)
		debug.SetGCPercent(current)
		return current
	}
	for end := time.Now().Add(20 * time.Second); now() > minPercent; runtime.GC() {
		if time.Now().After(end) {
			t.Fatalf("with %d MiB alive the heap may still grow by %d %%", len(much)>>1, now())
		}
	}
	runtime.KeepAlive(much)
}
