// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const patience = 20 * time.Second

func next(t *testing.T, w clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	select {
	case r, ok := <-w:
		if !ok {
			t.Fatal("the watch has ended")
		}
		return r
	case <-time.After(patience):
		t.Fatal("the watch is silent")
	}
	panic("unreachable")
}

// collect reads n events and fails unless their revisions ascend.
func collect(t *testing.T, w clientv3.WatchChan, n int) []*clientv3.Event {
	t.Helper()
	var events []*clientv3.Event
	for len(events) < n {
		r := next(t, w)
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		for _, ev := range r.Events {
			if k := len(events); k > 0 && ev.Kv.ModRevision <= events[k-1].Kv.ModRevision {
				t.Fatalf("revision %d after %d", ev.Kv.ModRevision, events[k-1].Kv.ModRevision)
			}
			events = append(events, ev)
		}
	}
	return events
}

func TestASlowWatcherHoldsUpNobodyAndMissesNothing(t *testing.T) {
	t.Parallel()
	// Memory holds a fraction of what the watcher leaves lying.
	db := openTest(t, Options{HistoryBytes: 64 << 10})
	w := db.Client().Watch(t.Context(), "/p/", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV())
	fillPrefix(t, db, "/p/", 3000)
	if s := db.Stats(); s.HistoryEvents > 1000 {
		t.Fatalf("%d events in memory: the test proves nothing", s.HistoryEvents)
	}
	events := collect(t, w, 3000)
	if first, last := events[0].Kv.ModRevision, events[2999].Kv.ModRevision; first != 2 || last != 3001 {
		t.Errorf("events from %d to %d", first, last)
	}
	// It goes on from memory.
	mustPut(t, db, "/p/more", "x", 0)
	collect(t, w, 1)
}

func fillPrefix(t *testing.T, db *DB, prefix string, n int) {
	t.Helper()
	if err := putMany(db, prefix, n); err != nil {
		t.Fatal(err)
	}
}

// putMany puts n keys without waiting for each.
func putMany(db *DB, prefix string, n int) error {
	ctx := context.Background()
	var last *batch
	for i := range n {
		out, err := db.stagePut(ctx, fmt.Sprintf("%s%06d", prefix, i), benchValue(i)[:200], 0, always)
		if err != nil {
			return err
		}
		if out.lead {
			db.wakeFlusher()
		}
		last = out.batch
	}
	return last.wait(ctx)
}

func TestAWatchOnCompactedHistorySaysSo(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{HistoryBytes: 16 << 10})
	fillPrefix(t, db, "/p/", 500)
	slow := db.Client().Watch(t.Context(), "/p/", clientv3.WithPrefix(), clientv3.WithRev(1))
	// Its channel is full by now or soon; it has not read all.
	if err := db.Compact(t.Context(), 490); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]clientv3.WatchChan{
		"opened before": slow,
		"opened after":  db.Client().Watch(t.Context(), "/p/", clientv3.WithPrefix(), clientv3.WithRev(5)),
	} {
		n := 0
		for {
			r, ok := <-w
			if !ok {
				t.Errorf("%s: ended without a word after %d events", name, n)
				break
			}
			n += len(r.Events)
			if n == 500 && name == "opened before" {
				// It was fast enough to be ahead of the compaction.
				break
			}
			if r.Err() != nil {
				if !errors.Is(r.Err(), rpctypes.ErrCompacted) || r.CompactRevision != 490 {
					t.Errorf("%s: %v, compacted %d", name, r.Err(), r.CompactRevision)
				}
				if _, ok := <-w; ok {
					t.Errorf("%s: goes on after its end", name)
				}
				break
			}
		}
	}
	// At the compaction revision itself history is whole.
	w := db.Client().Watch(t.Context(), "/p/", clientv3.WithPrefix(), clientv3.WithRev(490))
	if got := collect(t, w, 1)[0].Kv.ModRevision; got != 490 {
		t.Errorf("first event %d", got)
	}
}

func TestAWatchFromTheFutureWaitsForIt(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	w := db.Client().Watch(t.Context(), "/p/", clientv3.WithPrefix(), clientv3.WithRev(5), clientv3.WithProgressNotify())
	db.PokeProgress("/p/")
	for i := range 5 {
		mustPut(t, db, fmt.Sprintf("/p/%d", i), "x", 0)
	}
	for _, ev := range collect(t, w, 2) {
		if ev.Kv.ModRevision < 5 {
			t.Errorf("revision %d", ev.Kv.ModRevision)
		}
	}
}

// TestABookmarkComesAfterEveryEventUpToIt pokes without pause while writers
// write, and checks the law at every bookmark.
func TestABookmarkComesAfterEveryEventUpToIt(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{HistoryBytes: 32 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := db.Client().Watch(ctx, "/p/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	go func() {
		for ctx.Err() == nil {
			db.PokeProgress("/p/")
		}
	}()
	go func() {
		if err := putMany(db, "/p/", 2000); err != nil {
			t.Error(err)
		}
	}()
	next, bookmarks := int64(2), 0
	for next < 2002 || bookmarks == 0 {
		select {
		case r := <-w:
			if r.IsProgressNotify() {
				bookmarks++
				// Every revision is an event of this watch.
				if r.Header.Revision != next-1 {
					t.Fatalf("bookmark at %d, events up to %d", r.Header.Revision, next-1)
				}
			}
			for _, ev := range r.Events {
				if ev.Kv.ModRevision != next {
					t.Fatalf("event %d, want %d", ev.Kv.ModRevision, next)
				}
				next++
			}
		case <-time.After(patience):
			t.Fatalf("silence after %d events and %d bookmarks", next-2, bookmarks)
		}
	}
}

func TestAPokeReachesOnlyItsOwnWatch(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	a := db.Client().Watch(t.Context(), "/a/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	b := db.Client().Watch(t.Context(), "/b/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	mustPut(t, db, "/c", "x", 0)
	db.PokeProgress("/a/")
	if r := next(t, a); !r.IsProgressNotify() || r.Header.Revision != 2 {
		t.Errorf("%+v", r)
	}
	mustPut(t, db, "/b/1", "x", 0)
	if r := next(t, b); r.IsProgressNotify() {
		t.Errorf("a bookmark nobody asked for")
	}
}

func TestWatchesOfKeysPrefixesAndRangesSeeTheirsOnly(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	c := db.Client()
	watches := map[string]clientv3.WatchChan{
		"/a/1 /a/2 /a/b/3": c.Watch(t.Context(), "/a/", clientv3.WithPrefix()),
		"/a/2":             c.Watch(t.Context(), "/a/2"),
		"/a/b/3":           c.Watch(t.Context(), "/a/b/", clientv3.WithPrefix()),
		"/a/2 /a/b/3 /ab":  c.Watch(t.Context(), "/a/2", clientv3.WithRange("/b")),
		"/ab":              c.Watch(t.Context(), "/ab", clientv3.WithPrefix()),
		"/ab /z":           c.Watch(t.Context(), "/ab", clientv3.WithFromKey()),
	}
	for _, key := range []string{"/a/1", "/a/2", "/a/b/3", "/ab", "/z"} {
		mustPut(t, db, key, "x", 0)
	}
	for want, w := range watches {
		got := ""
		for len(got) < len(want) {
			for _, ev := range collect(t, w, 1) {
				if got != "" {
					got += " "
				}
				got += string(ev.Kv.Key)
			}
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestClosingEndsTheWatches(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	w := db.Client().Watch(context.Background(), "/", clientv3.WithPrefix())
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if r, ok := <-w; ok {
		t.Errorf("%+v", r)
	}
	if r := <-db.Client().Watch(context.Background(), "/", clientv3.WithPrefix()); r.Err() == nil {
		t.Errorf("a watch of a closed store: %+v", r)
	}
}
