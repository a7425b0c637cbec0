// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	testingclock "k8s.io/utils/clock/testing"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

func TestLeasedKeysGoWhenTheLeaseExpiresAlsoWhileClosed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	db, err := Open(Options{Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	c := db.Client()
	lease, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Grant(ctx, 1000)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, lease clientv3.LeaseID, at int64) int64 {
		t.Helper()
		resp, err := c.Kubernetes.OptimisticPut(ctx, key, []byte("x"), at, kubernetes.PutOptions{LeaseID: lease})
		if err != nil || !resp.Succeeded {
			t.Fatal(resp, err)
		}
		return resp.Revision
	}
	put("/e/1", lease.ID, 0)
	put("/e/2", lease.ID, 0)
	put("/e/kept", 0, put("/e/kept", lease.ID, 0))
	put("/e/moved", other.ID, put("/e/moved", lease.ID, 0))
	if _, err := c.Kubernetes.OptimisticPut(ctx, "/e/x", nil, 0, kubernetes.PutOptions{LeaseID: 12345}); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("put with an unknown lease: %v", err)
	}
	w := c.Watch(ctx, "/e/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	clock.Step(59 * time.Second)
	if got := mustGet(t, db, "/e/1"); got != "x" {
		t.Fatal("expired early")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	<-w
	clock.Step(2 * time.Second)
	db = openTest(t, Options{Dir: dir, Clock: clock})
	w = db.Client().Watch(ctx, "/e/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(8))
	deleted := map[string]bool{}
	for _, ev := range collect(t, w, 2) {
		if ev.Type != clientv3.EventTypeDelete || ev.PrevKv == nil {
			t.Errorf("%v", ev)
		}
		deleted[string(ev.Kv.Key)] = true
	}
	if !deleted["/e/1"] || !deleted["/e/2"] {
		t.Errorf("deleted %v", deleted)
	}
	if mustGet(t, db, "/e/kept") != "x" || mustGet(t, db, "/e/moved") != "x" {
		t.Error("a key that no longer hung on the lease is gone")
	}
	if _, err := db.Client().Lease.Revoke(ctx, other.ID); err != nil {
		t.Fatal(err)
	}
	if mustGet(t, db, "/e/moved") != "" {
		t.Error("a revoked lease keeps its keys")
	}
}

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

func TestASnapshotRestoresWithTheRevisionBumped(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openTest(t, Options{})
	fillPrefix(t, db, "/p/", 300)
	if err := db.Journal().Append(ctx, journal.Record{Owner: "o", Number: 7, Data: []byte("seven")}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "snapshot")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := db.Snapshot(ctx, out)
	if err != nil || report.Revision != 301 {
		t.Fatalf("%+v, %v", report, err)
	}
	out.Close()
	// The old store goes on after the snapshot.
	mustPut(t, db, "/p/later", "x", 0)
	seen := db.Revision()

	for _, bad := range []struct {
		name   string
		edit   func([]byte) []byte
		expect string
	}{
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, "does not end as one"},
		{"flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "SHA-256"},
		{"empty", func([]byte) []byte { return nil }, "0 bytes"},
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		broken := filepath.Join(t.TempDir(), "broken")
		os.WriteFile(broken, bad.edit(data), 0o600)
		if _, err := Restore(ctx, broken, t.TempDir(), 0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), bad.expect) {
			t.Errorf("%s snapshot: %v", bad.name, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := Restore(ctx, path, dir, 5); err == nil {
		t.Error("restored with a bump of 5")
	}
	restored, err := Restore(ctx, path, dir, 0)
	if err != nil || restored.Revision != 301+MinBump || restored.Contents.Keys != 300 || restored.Contents.Records != 1 {
		t.Fatalf("%+v, %v", restored, err)
	}
	if _, err := Restore(ctx, path, dir, 0); err == nil {
		t.Error("restored over a store")
	}
	again := openTest(t, Options{Dir: dir})
	if again.Revision() != restored.Revision || again.CompactRevision() != restored.Revision {
		t.Errorf("revision %d, compacted %d", again.Revision(), again.CompactRevision())
	}
	c := again.Client()
	if r := next(t, c.Watch(ctx, "/p/", clientv3.WithPrefix(), clientv3.WithRev(seen+1))); !errors.Is(r.Err(), rpctypes.ErrCompacted) {
		t.Errorf("a client of the old store is told %v", r.Err())
	}
	if _, err := c.Kubernetes.List(ctx, "/p/", kubernetes.ListOptions{Revision: seen}); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("a list at a revision of the old store: %v", err)
	}
	list, err := c.Kubernetes.List(ctx, "/p/", kubernetes.ListOptions{Revision: restored.Revision})
	if err != nil || list.Count != 300 {
		t.Errorf("%d keys, %v", list.Count, err)
	}
	records, err := again.Journal().Read(ctx, "o", 0, 0)
	if err != nil || len(records) != 1 || string(records[0].Data) != "seven" {
		t.Errorf("journal: %v, %v", records, err)
	}
	w := c.Watch(ctx, "/p/", clientv3.WithPrefix(), clientv3.WithRev(restored.Revision+1))
	if rev := mustPut(t, again, "/p/new", "x", 0); rev != restored.Revision+1 {
		t.Errorf("revision %d", rev)
	}
	collect(t, w, 1)
}

func TestDefragmentationRunsUnderLoadAndLosesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openTest(t, Options{})
	fillPrefix(t, db, "/p/", 20_000)
	if err := db.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	k := db.Client().Kubernetes
	for i := range 20_000 {
		if i%10 != 0 {
			out, err := db.stageDelete(ctx, fmt.Sprintf("/p/%06d", i), always)
			if err != nil {
				t.Fatal(err)
			}
			if out.lead {
				db.wakeFlusher()
			}
		}
	}
	mustPut(t, db, "/p/last", "x", 0)
	if err := db.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	// A reader that began before stays where it is.
	tx, err := db.checkpoint.begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			if _, err := k.OptimisticPut(ctx, fmt.Sprintf("/q/%06d", n), benchValue(n), 0, kubernetes.PutOptions{}); err != nil {
				t.Error(err)
			}
			n++
		}
	}()
	report, err := db.Defragment(ctx)
	if err != nil || report.After >= report.Before/2 {
		t.Errorf("%v, %v", report, err)
	}
	close(stop)
	written := <-done
	if err := db.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]int64{"/p/": 2001, "/q/": int64(written)} {
		list, err := k.List(ctx, prefix, kubernetes.ListOptions{})
		if err != nil || list.Count != want || int64(len(list.Kvs)) != want {
			t.Errorf("%s: %d keys, want %d, %v", prefix, list.Count, want, err)
		}
	}
	if tx.Bucket(bucketKeys).Get([]byte("/p/000000")) == nil {
		t.Error("the old file's reader lost its page")
	}
	tx.Rollback()
	dir := db.opts.Dir
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check, err := Check(ctx, dir)
	if err != nil || check.Err() != nil || check.Contents.Keys != 2001+int64(written) {
		t.Errorf("%v, %v\n%s", err, check.Err(), check)
	}
	if _, err := Defrag(ctx, dir); err != nil {
		t.Error(err)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	build := func(t *testing.T) string {
		dir := t.TempDir()
		db, err := Open(Options{Dir: dir, SegmentBytes: minSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		fillPrefix(t, db, "/p/", 1000)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := build(t)
	report, err := Check(ctx, dir)
	if err != nil || report.Err() != nil || report.Revision != 1001 || report.Contents.Keys != 1000 || !strings.Contains(report.String(), "sound") {
		t.Fatalf("%v, %v\n%s", err, report.Err(), report)
	}
	if _, err := Check(ctx, t.TempDir()); err == nil {
		t.Error("an empty directory is no store")
	}
	flip := func(name string, at func(b []byte) int) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[at(b)] ^= 0x10
			os.WriteFile(path, b, 0o600)
		}
	}
	value := func(b []byte) int {
		return bytes.Index(b, []byte("/p/000700")) + 40
	}
	for _, c := range []struct {
		name, expect string
		damage       func(dir string)
	}{
		{"a value in the log's history", "is damaged", flip(filepath.Join(logDirName, segmentName(1)), func([]byte) int { return segmentHeaderSize + 5000 })},
		{"a segment's header", "header", flip(filepath.Join(logDirName, segmentName(2)), func([]byte) int { return 20 })},
		{"a value in the checkpoint", "checksum of key", flip(checkpointName, func(b []byte) int {
			// The value's page holds the key before it.
			return value(b)
		})},
	} {
		dir := build(t)
		c.damage(dir)
		report, err := Check(ctx, dir)
		if err != nil || !errors.Is(report.Err(), ErrCorrupt) || !strings.Contains(report.String(), c.expect) {
			t.Errorf("%s: %v\n%s", c.name, err, report)
		}
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	dir := t.TempDir()
	opts := Options{Dir: dir, FS: fs, SegmentBytes: minSegmentBytes, noSync: true}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	fs.SetLimit(4 * minSegmentBytes)
	acked := 0
	k := db.Client().Kubernetes
	for {
		_, err = k.OptimisticPut(t.Context(), fmt.Sprintf("/p/%06d", acked), benchValue(acked), 0, kubernetes.PutOptions{})
		if err != nil {
			break
		}
		acked++
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the refusal says %v", err)
	}
	if err := db.Ready(); err == nil || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("ready says %v", err)
	}
	if got := mustGet(t, db, "/p/000000"); got == "" {
		t.Error("a full disk cannot be read")
	}
	fs.SetLimit(0)
	deadline := time.Now().Add(patience)
	for db.Ready() != nil && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	mustPut(t, db, "/p/more", "x", 0)
	db.abandon()
	db, err = Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := db.Stats().Keys; got != int64(acked)+1 {
		t.Errorf("%d keys, %d were acknowledged", got, acked+1)
	}
}

func TestAFailedSyncEndsAllWriting(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	db := openTest(t, Options{FS: fs, noSync: true})
	mustPut(t, db, "/a", "1", 0)
	syncs := 0
	segment := db.wal.active().path
	fs.SetFault(func(op faultfs.Op, name string) (error, int) {
		if op == faultfs.OpSync && name == segment {
			if syncs++; syncs == 1 {
				return syscall.EIO, 0
			}
		}
		return nil, 0
	})
	k := db.Client().Kubernetes
	for range 3 {
		if _, err := k.OptimisticPut(t.Context(), "/b", []byte("1"), 0, kubernetes.PutOptions{}); !errors.Is(err, syscall.EIO) {
			t.Errorf("a write after a failed sync: %v", err)
		}
		if err := db.Ready(); !errors.Is(err, syscall.EIO) {
			t.Errorf("ready says %v", err)
		}
	}
	if syncs > 1 {
		t.Errorf("%d syncs of a file whose sync had failed", syncs)
	}
	if mustGet(t, db, "/a") != "1" || mustGet(t, db, "/b") != "" || db.Revision() != 2 {
		t.Error("what is readable is not what is durable")
	}
	if err := db.Checkpoint(t.Context()); err == nil {
		t.Error("a checkpoint after a failed sync")
	}
}

// TestNothingLeavesBeforeItsSync holds a sync and looks what gets out.
func TestNothingLeavesBeforeItsSync(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	db := openTest(t, Options{FS: fs, noSync: true})
	rev := mustPut(t, db, "/a", "1", 0)
	segment := db.wal.active().path
	held, release := make(chan struct{}), make(chan struct{})
	first := true
	fs.SetFault(func(op faultfs.Op, name string) (error, int) {
		if op == faultfs.OpWrite && name == segment && first {
			first = false
			close(held)
			<-release
		}
		return nil, 0
	})
	k := db.Client().Kubernetes
	w := db.Client().Watch(t.Context(), "/", clientv3.WithPrefix())
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer, 8)
	ask := func(name string, fn func() error) { go func() { answers <- answer{name, fn()} }() }
	ask("put", func() error {
		_, err := k.OptimisticPut(t.Context(), "/a", []byte("2"), rev, kubernetes.PutOptions{})
		return err
	})
	<-held
	ask("conflict", func() error {
		r, err := k.OptimisticPut(t.Context(), "/a", []byte("3"), rev, kubernetes.PutOptions{GetOnFailure: true})
		if err == nil && (r.Succeeded || string(r.KV.Value) != "2") {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
	ask("exists", func() error {
		_, err := k.OptimisticPut(t.Context(), "/a", []byte("3"), 0, kubernetes.PutOptions{})
		return err
	})
	ask("append", func() error {
		return db.Journal().Append(t.Context(), journal.Record{Owner: "o", Number: 1})
	})
	// In a session the loser learns at once, and settles later.
	ctx, settle := db.Session(t.Context())
	r, err := k.OptimisticPut(ctx, "/a", []byte("3"), rev, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil || r.Succeeded || string(r.KV.Value) != "2" {
		t.Fatalf("%+v, %v", r, err)
	}
	got, err := k.Get(ctx, "/a", kubernetes.GetOptions{})
	if err != nil || string(got.KV.Value) != "2" {
		t.Fatalf("%+v, %v", got, err)
	}
	ask("settle", func() error { return settle(t.Context()) })
	// So does a writer of its own object.
	ctx, settleWrite := db.Session(t.Context())
	if r, err := k.OptimisticPut(ctx, "/b", []byte("1"), 0, kubernetes.PutOptions{}); err != nil || !r.Succeeded {
		t.Fatalf("%+v, %v", r, err)
	}
	ask("settle a write", func() error { return settleWrite(t.Context()) })

	select {
	case a := <-answers:
		t.Errorf("%s was answered before the sync", a.name)
	case r := <-w:
		t.Errorf("a watch saw %+v before the sync", r)
	case <-time.After(100 * time.Millisecond):
	}
	if mustGet(t, db, "/a") != "1" || mustGet(t, db, "/b") != "" || db.Revision() != rev {
		t.Error("a read shows what is not durable")
	}
	close(release)
	for range 6 {
		if a := <-answers; a.err != nil {
			t.Errorf("%s: %v", a.name, a.err)
		}
	}
	collect(t, w, 2)
}

// TestASessionLearnsThatItsWriteWasLost stages a write behind a sync that fails.
func TestASessionLearnsThatItsWriteWasLost(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	db := openTest(t, Options{FS: fs, noSync: true})
	mustPut(t, db, "/a", "1", 0)
	segment := db.wal.active().path
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.SetFault(func(op faultfs.Op, name string) (error, int) {
		if op != faultfs.OpSync || name != segment {
			return nil, 0
		}
		once.Do(func() {
			close(held)
			<-release
		})
		return syscall.EIO, 0
	})
	k := db.Client().Kubernetes
	first := make(chan error, 1)
	go func() {
		_, err := k.OptimisticPut(t.Context(), "/b", []byte("1"), 0, kubernetes.PutOptions{})
		first <- err
	}()
	<-held
	ctx, settle := db.Session(t.Context())
	if r, err := k.OptimisticPut(ctx, "/c", []byte("1"), 0, kubernetes.PutOptions{}); err != nil || !r.Succeeded {
		t.Fatalf("%+v, %v", r, err)
	}
	close(release)
	if err := <-first; !errors.Is(err, syscall.EIO) {
		t.Errorf("the write whose sync failed: %v", err)
	}
	if err := settle(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("the session that came after it settles with %v", err)
	}
	if mustGet(t, db, "/c") != "" {
		t.Error("what was lost can be read")
	}
}

func TestTheQuotaRefusesGrowthOnly(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{SegmentBytes: minSegmentBytes, MaxBytes: 1 << 20})
	k := db.Client().Kubernetes
	var err error
	n := 0
	for ; err == nil && n < 10_000; n++ {
		_, err = k.OptimisticPut(t.Context(), fmt.Sprintf("/p/%06d", n), benchValue(n), 0, kubernetes.PutOptions{})
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatalf("after %d puts: %v", n, err)
	}
	if err := db.Journal().Append(context.Background(), journal.Record{Owner: "o", Number: 1}); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("append: %v", err)
	}
	rev := keyRevision(t, db, "/p/000000")
	if resp, err := k.OptimisticDelete(t.Context(), "/p/000000", rev, kubernetes.DeleteOptions{}); err != nil || !resp.Succeeded {
		t.Errorf("delete: %+v, %v", resp, err)
	}
}
