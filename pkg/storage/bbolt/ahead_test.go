// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"testing"

	"go.etcd.io/etcd/client/v3/kubernetes"
)

func TestAWriteAheadSharesTheSyncOfTheNextOne(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	k := db.Client().Kubernetes
	// The moment after which the engine would sync by itself may pass on a busy
	// machine; not every time.
	for range 20 {
		commits := db.Stats().Commits
		ctx, _ := db.Ahead(t.Context())
		first, err := k.OptimisticPut(ctx, "/a", []byte("1"), 0, kubernetes.PutOptions{})
		if err != nil || !first.Succeeded {
			t.Fatalf("%+v, %v", first, err)
		}
		// Who writes ahead goes on from there.
		if got, err := k.Get(ctx, "/a", kubernetes.GetOptions{}); err != nil || got.KV == nil || got.KV.ModRevision != first.Revision {
			t.Fatalf("%+v, %v", got, err)
		}
		second, err := k.OptimisticPut(t.Context(), "/b", []byte("2"), 0, kubernetes.PutOptions{})
		if err != nil || second.Revision != first.Revision+1 {
			t.Fatalf("%+v after %+v, %v", second, first, err)
		}
		if mustGet(t, db, "/a") != "1" {
			t.Fatal("what was ordered before a durable write is not there")
		}
		if db.Stats().Commits-commits == 1 {
			return
		}
		for key, rev := range map[string]int64{"/a": first.Revision, "/b": second.Revision} {
			if _, err := k.OptimisticDelete(t.Context(), key, rev, kubernetes.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Error("it never shared a sync")
}

func TestAWriteAheadIsReadableOnceItIsDurable(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	k := db.Client().Kubernetes
	ctx, settle := db.Ahead(t.Context())
	resp, err := k.OptimisticPut(ctx, "/a", []byte("1"), 0, kubernetes.PutOptions{})
	if err != nil || !resp.Succeeded {
		t.Fatalf("%+v, %v", resp, err)
	}
	// Nobody writes after it: it does not stay behind.
	if err := settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if db.Revision() < resp.Revision || mustGet(t, db, "/a") != "1" {
		t.Error("settled and not there")
	}
}
