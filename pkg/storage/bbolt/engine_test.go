// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
)

func openTest(t testing.TB, opts Options) *DB {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustPut(t testing.TB, db *DB, key, value string, expect int64) int64 {
	t.Helper()
	resp, err := db.Client().Kubernetes.OptimisticPut(context.Background(), key, []byte(value), expect, kubernetes.PutOptions{})
	if err != nil || !resp.Succeeded {
		t.Fatalf("put %s at %d: succeeded %v, %v", key, expect, resp.Succeeded, err)
	}
	return resp.Revision
}

func mustCheckpoint(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t testing.TB, db *DB, key string) string {
	t.Helper()
	resp, err := db.Client().Kubernetes.Get(context.Background(), key, kubernetes.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if resp.KV == nil {
		return ""
	}
	return string(resp.KV.Value)
}

func TestWritesSurviveACleanReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 3 {
		db, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			key := fmt.Sprintf("/pods/ns/%03d", i)
			if round == 0 {
				if got := mustPut(t, db, key, "v0", 0); got != int64(i+2) {
					t.Fatalf("revision %d, want %d", got, i+2)
				}
				continue
			}
			if got, want := mustGet(t, db, key), fmt.Sprintf("v%d", round-1); got != want {
				t.Fatalf("round %d: %s is %q, want %q", round, key, got, want)
			}
			mustPut(t, db, key, fmt.Sprintf("v%d", round), int64((round-1)*100+i+2))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOptimisticWritesTellTheLoser(t *testing.T) {
	t.Parallel()
	for _, checkpointed := range []bool{false, true} {
		t.Run(fmt.Sprintf("checkpointed=%v", checkpointed), func(t *testing.T) {
			t.Parallel()
			db := openTest(t, Options{CheckpointInterval: time.Hour, noSync: true})
			ctx := context.Background()
			k := db.Client().Kubernetes
			rev := mustPut(t, db, "/a", "1", 0)
			if checkpointed {
				mustCheckpoint(t, db)
			}
			for _, expected := range []int64{0, rev + 1} {
				resp, err := k.OptimisticPut(ctx, "/a", []byte("2"), expected, kubernetes.PutOptions{GetOnFailure: true})
				if err != nil || resp.Succeeded || string(resp.KV.Value) != "1" || resp.KV.ModRevision != rev {
					t.Fatalf("a put at %d: %+v, %v", expected, resp, err)
				}
			}
			del, err := k.OptimisticDelete(ctx, "/a", rev+1, kubernetes.DeleteOptions{GetOnFailure: true})
			if err != nil || del.Succeeded || string(del.KV.Value) != "1" || del.KV.ModRevision != rev {
				t.Fatalf("%+v, %v", del, err)
			}
			del, err = k.OptimisticDelete(ctx, "/a", rev, kubernetes.DeleteOptions{})
			if err != nil || !del.Succeeded || del.Revision != rev+1 {
				t.Fatalf("%+v, %v", del, err)
			}
			if got := mustGet(t, db, "/a"); got != "" {
				t.Fatalf("deleted key has value %q", got)
			}
		})
	}
}

func TestALoserLearnsWhatTheKeyIsByNow(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{CheckpointInterval: time.Hour, noSync: true})
	ctx := context.Background()
	first := mustPut(t, db, "/a", "1", 0)
	mustCheckpoint(t, db)
	// What a write was refused for, before its value was read of the checkpoint.
	found := db.idx.get("/a")
	if found.resident() {
		t.Fatal("a checkpointed value is in memory")
	}
	second := mustPut(t, db, "/a", "2", first)
	mustCheckpoint(t, db)
	kv, err := face{db}.inTheWay(ctx, found)
	if err != nil || kv == nil || string(kv.Value) != "2" || kv.ModRevision != second {
		t.Fatalf("%v, %v", kv, err)
	}
	if _, err := db.Client().Kubernetes.OptimisticDelete(ctx, "/a", second, kubernetes.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	mustCheckpoint(t, db)
	if kv, err := (face{db}).inTheWay(ctx, found); err != nil || kv != nil {
		t.Fatalf("%v, %v", kv, err)
	}
}

func TestExactRevisionsShowThePast(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	ctx := context.Background()
	a := mustPut(t, db, "/p/a", "a1", 0)
	b := mustPut(t, db, "/p/b", "b1", 0)
	a2 := mustPut(t, db, "/p/a", "a2", a)
	k := db.Client().Kubernetes
	if _, err := k.OptimisticDelete(ctx, "/p/b", b, kubernetes.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, "/p/c", "c1", 0)
	want := map[int64]string{1: "", a: "a1", b: "a1 b1", a2: "a2 b1", a2 + 1: "a2", a2 + 2: "a2 c1"}
	check := func() {
		t.Helper()
		for rev, want := range want {
			resp, err := k.List(ctx, "/p/", kubernetes.ListOptions{Revision: rev})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for i, kv := range resp.Kvs {
				if i > 0 {
					got += " "
				}
				got += string(kv.Value)
			}
			if got != want || resp.Count != int64(len(resp.Kvs)) {
				t.Errorf("at %d: %q (count %d), want %q", rev, got, resp.Count, want)
			}
		}
	}
	check()
	if err := db.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	check()
	// Not from memory but from the log.
	db.pub.mu.Lock()
	db.pub.history.reset(db.Revision() + 1)
	db.pub.mu.Unlock()
	check()
	if _, err := k.List(ctx, "/p/", kubernetes.ListOptions{Revision: 100}); err != rpctypes.ErrFutureRev {
		t.Errorf("future revision: %v", err)
	}
	if err := db.Compact(ctx, a2); err != nil {
		t.Fatal(err)
	}
	if _, err := k.List(ctx, "/p/", kubernetes.ListOptions{Revision: b}); err != rpctypes.ErrCompacted {
		t.Errorf("compacted revision: %v", err)
	}
	if db.CompactRevision() != a2 {
		t.Errorf("compact revision %d, want %d", db.CompactRevision(), a2)
	}
}

func TestWatchSeesEveryChangeInOrder(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := db.Client().Watch(ctx, "/p/", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV(), clientv3.WithProgressNotify())
	var wg sync.WaitGroup
	const writers, each = 8, 50
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				mustPut(t, db, fmt.Sprintf("/p/%d-%d", i, n), "x", 0)
				mustPut(t, db, fmt.Sprintf("/q/%d-%d", i, n), "x", 0)
			}
		})
	}
	last, n := int64(0), 0
	for n < writers*each {
		select {
		case r := <-w:
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			for _, ev := range r.Events {
				if ev.Kv.ModRevision <= last {
					t.Fatalf("revision %d after %d", ev.Kv.ModRevision, last)
				}
				last = ev.Kv.ModRevision
				n++
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%d events", n)
		}
	}
	wg.Wait()
	db.PokeProgress("/p/")
	for r := range w {
		if !r.IsProgressNotify() {
			t.Fatalf("unexpected %+v", r)
		}
		if r.Header.Revision != db.Revision() {
			continue
		}
		break
	}
}

func TestJournalKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := context.Background()
	db, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	j := db.Journal()
	for n := int64(1); n <= 10; n++ {
		if err := j.Append(ctx, journal.Record{Owner: "turns/a/events", Number: n, Data: fmt.Appendf(nil, "%d", n)}); err != nil {
			t.Fatal(err)
		}
		if n == 5 {
			if err := db.Checkpoint(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Append(ctx, journal.Record{Owner: "turns/a/events", Number: 3, Data: []byte("other")}); err != nil {
		t.Fatal(err)
	}
	check := func(j journal.Journal) {
		t.Helper()
		records, err := j.Read(ctx, "turns/a/events", 2, 0)
		if err != nil || len(records) != 8 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		for i, r := range records {
			if r.Number != int64(i+3) || string(r.Data) != fmt.Sprint(i+3) {
				t.Fatalf("record %d is %d %q", i, r.Number, r.Data)
			}
		}
		if last, err := j.Last(ctx, "turns/a/events"); last != 10 || err != nil {
			t.Fatalf("last is %d, %v", last, err)
		}
	}
	check(j)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, Options{Dir: dir})
	check(db.Journal())
	if err := db.Journal().Drop(ctx, "turns/a"); err != nil {
		t.Fatal(err)
	}
	if records, err := db.Journal().Read(ctx, "turns/a/events", 0, 0); err != nil || len(records) != 0 {
		t.Fatalf("%d records after the drop, %v", len(records), err)
	}
}

// abandon ends the store as a crash of its process would: without a last
// checkpoint, the files as they are.
func (db *DB) abandon() {
	db.mu.Lock()
	db.closed = true
	db.broadcastRoom()
	db.mu.Unlock()
	db.shutdown()
}

// A record that no prepared segment has room for gets a segment of its own
// size, and is there after a crash.
func TestAValueLargerThanASegmentIsStored(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir, SegmentBytes: minSegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	c := db.Client()
	ctx := t.Context()
	rev := int64(0)
	for i, size := range []int{100, MaxValueBytes, 200, MaxValueBytes, 1 << 20} {
		value := bytes.Repeat([]byte{byte('a' + i)}, size)
		r, err := c.Kubernetes.OptimisticPut(ctx, "/large", value, rev, kubernetes.PutOptions{})
		if err != nil || !r.Succeeded {
			t.Fatalf("a value of %d bytes: %v", size, err)
		}
		rev = r.Revision
	}
	if _, err := c.Kubernetes.OptimisticPut(ctx, "/large", make([]byte, MaxValueBytes+1), rev, kubernetes.PutOptions{}); err == nil {
		t.Error("a value above the limit was taken")
	}
	db.abandon()
	if db, err = Open(Options{Dir: dir, SegmentBytes: minSegmentBytes}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	got, err := db.Client().Kubernetes.Get(ctx, "/large", kubernetes.GetOptions{})
	if err != nil || got.KV == nil || len(got.KV.Value) != 1<<20 || got.KV.Value[0] != 'e' {
		t.Fatalf("after a crash: %v", err)
	}
	old, err := db.Client().Kubernetes.Get(ctx, "/large", kubernetes.GetOptions{Revision: rev - 1})
	if err != nil || old.KV == nil || len(old.KV.Value) != MaxValueBytes {
		t.Fatalf("the past after a crash: %v", err)
	}
}
