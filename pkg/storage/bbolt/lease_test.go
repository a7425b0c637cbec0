// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	testingclock "k8s.io/utils/clock/testing"
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
