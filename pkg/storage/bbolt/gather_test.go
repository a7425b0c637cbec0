// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

// Law: where a sync takes long, writers that come again and again all ride with
// each of them. Without company two halves would take turns, and need twice as
// many syncs.
func TestOnASlowDiskAllWritersShareEachSync(t *testing.T) {
	t.Parallel()
	const writers, rounds = 16, 8
	// A machine that is busy may hold up a writer for longer than it is waited for,
	// which is half a sync.
	for slow := 200 * time.Millisecond; ; slow *= 2 {
		n := commitsOf(t, writers, rounds, slow)
		// The first comes alone, the others begin with the second, and then the
		// first is a round ahead.
		if n <= rounds+2 {
			return
		}
		if slow > time.Second {
			t.Fatalf("%d commits for %d rounds of %d writers, with a sync of %s", n, rounds, writers, slow)
		}
	}
}

// commitsOf is what writers need who come again as often as there are rounds.
func commitsOf(t *testing.T, writers, rounds int, slow time.Duration) int64 {
	fs := faultfs.New(1)
	db := openTest(t, Options{FS: fs, noSync: true, maxGather: slow})
	segment := db.wal.active().path
	fs.SetFault(func(op faultfs.Op, name string) (error, int) {
		if op == faultfs.OpSync && name == segment {
			time.Sleep(slow)
		}
		return nil, 0
	})
	k := db.Client().Kubernetes
	before := db.Stats().Commits
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				if _, err := k.OptimisticPut(t.Context(), fmt.Sprintf("/%d/%d", w, r), []byte("1"), 0, kubernetes.PutOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return db.Stats().Commits - before
}

// Law: nobody waits for writers who do not come again, and a lone one for nobody.
func TestACommitDoesNotWaitForWhoDoesNotCome(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	db := openTest(t, Options{FS: fs, noSync: true})
	segment := db.wal.active().path
	fs.SetFault(func(op faultfs.Op, name string) (error, int) {
		if op == faultfs.OpSync && name == segment {
			time.Sleep(2 * slowSync)
		}
		return nil, 0
	})
	k := db.Client().Kubernetes
	for round := range 20 {
		var wg sync.WaitGroup
		for w := range 1 + round%4 {
			wg.Go(func() {
				if _, err := k.OptimisticPut(t.Context(), fmt.Sprintf("/%d/%d", round, w), []byte("1"), 0, kubernetes.PutOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.unsettled) > 0 {
		t.Errorf("%d batches were left", len(db.unsettled))
	}
}
