// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/client/v3/kubernetes"
)

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
