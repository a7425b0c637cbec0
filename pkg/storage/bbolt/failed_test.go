// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

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
