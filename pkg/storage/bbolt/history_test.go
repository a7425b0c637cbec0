// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"fmt"
	"testing"
)

func TestHistoryIsKeptByAgeAndByNumberAndBoundedBySpace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                            string
		head, byAge, minEvents, bySpace int64
		want                            int64
	}{
		{"young", 20_000, 0, 10_000, 0, 0},
		{"old but few", 9_000, 8_000, 10_000, 0, 0},
		{"age keeps more", 50_000, 30_000, 10_000, 0, 30_000},
		{"number keeps more", 50_000, 45_000, 10_000, 0, 40_000},
		{"space", 50_000, 0, 10_000, 48_000, 48_000},
		{"never beyond the head", 50, 0, 10, 60, 50},
	} {
		if got := compactionTarget(c.head, c.byAge, c.minEvents, c.bySpace); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	var a ages
	a.add(10, 5)
	a.add(20, 5)
	a.add(30, 9)
	for limit, want := range map[int64]int64{9: 0, 10: 5, 29: 5} {
		b := ages{samples: append([]age{}, a.samples...)}
		if got := b.olderThan(limit); got != want {
			t.Errorf("older than %d: %d, want %d", limit, got, want)
		}
	}
	if got := a.olderThan(40); got != 9 || len(a.samples) != 1 {
		t.Errorf("%d, %v", got, a.samples)
	}
}

func TestCompactedSegmentsAreRecycled(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{SegmentBytes: minSegmentBytes, HistoryBytes: 16 << 10})
	for round := range 8 {
		fillPrefix(t, db, fmt.Sprintf("/r%d/", round), 1000)
		if err := db.Compact(t.Context(), db.Revision()); err != nil {
			t.Fatal(err)
		}
		if err := db.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := db.Stats(); s.LogBytes > 20*minSegmentBytes {
		t.Errorf("the log takes %d bytes, %d segments", s.LogBytes, s.LogBytes/minSegmentBytes)
	}
	if got := db.Stats().Keys; got != 8000 {
		t.Errorf("%d keys", got)
	}
}
