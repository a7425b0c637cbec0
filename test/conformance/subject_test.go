// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/kubernetes"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/etcd3/testserver"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/utils/clock"
)

// face is an engine seen as an etcd client.
type face struct {
	client    *kubernetes.Client
	compactor etcd3.Compactor
	// complete adds to etcd3's store what the server adds on this engine.
	complete func(store storage.Interface, prefix string) storage.Interface
	// compact makes revisions up to rev unreadable and advances the current
	// revision by one, as Kubernetes' compactor does by writing down what it
	// has compacted.
	compact func(ctx context.Context, t testing.TB, rev int64)
	// lists records the lists that are asked for under the suite's key.
	lists *storagetesting.KubernetesRecorder
	// calls returns how many reads the engine has had since the last call.
	calls func() uint64
}

// subject is an engine under test.
type subject struct {
	name string
	// open starts the engine on an empty directory; it ends with the test.
	// Idle watches get a bookmark every progress interval.
	open func(t testing.TB, progress time.Duration) *face
}

var (
	ours    = subject{"bbolt", openBBolt}
	control = subject{"etcd", openEtcd}
)

// bump advances the revision by writing a key that is no resource's.
func bump(ctx context.Context, t testing.TB, client *kubernetes.Client, key string) int64 {
	t.Helper()
	current, err := client.Kubernetes.Get(ctx, key, kubernetes.GetOptions{})
	if err != nil {
		t.Fatalf("Get of %s: %v", key, err)
	}
	var expected int64
	if current.KV != nil {
		expected = current.KV.ModRevision
	}
	put, err := client.Kubernetes.OptimisticPut(ctx, key, []byte("x"), expected, kubernetes.PutOptions{})
	if err != nil || !put.Succeeded {
		t.Fatalf("Put of %s: %v", key, err)
	}
	return put.Revision
}

func openEtcd(t testing.TB, progress time.Duration) *face {
	config := testserver.NewTestConfig(t)
	config.WatchProgressNotifyInterval = progress
	client := testserver.RunEtcd(t, config)
	compactor := etcd3.NewCompactor(client.Client, 0, clock.RealClock{}, nil)
	t.Cleanup(compactor.Stop)
	f := &face{
		client:    client,
		compactor: compactor,
		complete:  func(store storage.Interface, _ string) storage.Interface { return store },
		lists:     client.Kubernetes.(*storagetesting.KubernetesRecorder),
	}
	reads := client.KV.(*storagetesting.KVRecorder)
	f.calls = func() uint64 { return reads.GetReadsAndReset() + reads.GetStreamReadsAndReset() }
	f.compact = func(ctx context.Context, t testing.TB, rev int64) {
		version, _, _, err := etcd3.Compact(ctx, client.Client, 0, rev)
		if err != nil {
			// The first call of a compactor that is not the first learns
			// the version of the key.
			_, _, _, err = etcd3.Compact(ctx, client.Client, version, rev)
		}
		if err != nil {
			t.Fatalf("Compact(%d): %v", rev, err)
		}
		// Without the gate nobody watches what is compacted.
		if !utilfeature.DefaultFeatureGate.Enabled(features.ListFromCacheSnapshot) {
			return
		}
		err = wait.PollUntilContextTimeout(ctx, time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return compactor.CompactRevision() == rev, nil
		})
		if err != nil {
			t.Fatalf("compaction of %d was not observed: %v", rev, err)
		}
	}
	return f
}
