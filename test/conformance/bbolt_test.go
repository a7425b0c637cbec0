// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	clientkubernetes "go.etcd.io/etcd/client/v3/kubernetes"
	"k8s.io/apiserver/pkg/storage"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"

	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func openBBolt(t testing.TB, progress time.Duration) *face {
	db, err := bbolt.Open(bbolt.Options{Dir: t.TempDir(), ProgressNotifyInterval: progress, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return boltFace(db)
}

func boltFace(db *bbolt.DB) *face {
	client := db.Client()
	counted := &countedLists{Interface: client.Kubernetes}
	f := &face{client: client, compactor: db, lists: storagetesting.NewKubernetesRecorder(counted)}
	client.Kubernetes = f.lists
	f.complete = func(store storage.Interface, prefix string) storage.Interface {
		return safebeamstorage.OnBBolt(store, db, prefix, podPrefix)
	}
	f.calls = func() uint64 { return counted.n.Swap(0) }
	f.compact = func(ctx context.Context, t testing.TB, rev int64) {
		bump(ctx, t, client, "compact_rev_key")
		if err := db.Compact(ctx, rev); err != nil {
			t.Fatalf("Compact(%d): %v", rev, err)
		}
	}
	return f
}

// countedLists counts lists. A client of etcd does them through its KV; ours
// does not.
type countedLists struct {
	clientkubernetes.Interface
	n atomic.Uint64
}

func (c *countedLists) List(ctx context.Context, prefix string, opts clientkubernetes.ListOptions) (clientkubernetes.ListResponse, error) {
	c.n.Add(1)
	return c.Interface.List(ctx, prefix, opts)
}
