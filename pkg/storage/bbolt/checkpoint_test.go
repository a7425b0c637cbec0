// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestACheckpointBeginsAsSoonAsEnoughLogAwaitsIt(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	db := openTest(t, Options{
		CheckpointInterval: time.Hour, CheckpointBytes: 64 << 10, noSync: true,
		checkpointFault: func() error {
			select {
			case begun <- struct{}{}:
			default:
			}
			return nil
		},
	})
	for i := 0; db.pub.dirtyBytes() < db.opts.CheckpointBytes && len(begun) == 0; i++ {
		mustPut(t, db, fmt.Sprintf("/p/%04d", i), string(benchValue(i)), 0)
	}
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		t.Errorf("there is none with %d bytes of log to fold", db.pub.dirtyBytes())
	}
}

// dirtyBytes is the log that the next checkpoint will fold.
func (p *publisher) dirtyBytes() int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.dirty.bytes
}

func TestCommitsSlowDownBeforeTheyStop(t *testing.T) {
	t.Parallel()
	db := &DB{opts: Options{MaxDirtyBytes: 1000}}
	for _, c := range []struct {
		dirty int64
		want  time.Duration
	}{
		{0, 0},
		{500, 0},
		{750, maxPace / 2},
		{1000, maxPace},
	} {
		db.dirtyBytes = c.dirty
		if got := db.pace(); got != c.want {
			t.Errorf("with %d of 1000 bytes awaiting a checkpoint commits wait %v, want %v", c.dirty, got, c.want)
		}
	}
}

// Not parallel: on one processor it is the scheduler alone that decides who is
// next, however busy the machine.
func TestWritersHaveTheirTurnWhileValuesLeaveMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	db := openTest(t, Options{CheckpointInterval: time.Hour, noSync: true})
	const chunks = 8
	keys := make([]string, chunks*stripChunk)
	for i := range keys {
		keys[i] = fmt.Sprintf("/p/%05d", i)
		stageTest(t, db, keys[i], keys[i])
	}
	mustPut(t, db, "/q", "what was staged before is durable with it", 0)
	head := db.head.Load()
	if err := db.fold(context.Background(), head, &dirtySet{keys: keys}, newJournalLayer(), state{id: db.id, lsn: head.lsn, rev: head.rev, base: db.base}); err != nil {
		t.Fatal(err)
	}

	var turns atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // takes the lock as a writer does
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			db.mu.Lock()
			turns.Add(1)
			db.mu.Unlock()
			runtime.Gosched()
		}
	}()
	runtime.Gosched()
	before := turns.Load()
	db.strip(keys, head)
	if got := turns.Load() - before; got < chunks/2 {
		t.Errorf("a writer had the lock %d times while %d keys were stripped, want at least %d times", got, len(keys), chunks/2)
	}
	close(stop)
	<-stopped
	for _, key := range keys {
		if db.head.Load().view.get(key).resident() {
			t.Fatalf("the value of %s is still in memory", key)
		}
		if got := mustGet(t, db, key); got != key {
			t.Fatalf("%s: %.40q", key, got)
		}
	}
}

// stageTest puts a key without waiting for the disk.
func stageTest(t *testing.T, db *DB, key, value string) {
	t.Helper()
	ctx, _ := db.Ahead(context.Background())
	if out, err := db.stagePut(ctx, key, []byte(value), 0, atRevision(0)); err != nil || !out.succeeded {
		t.Fatalf("staging %s: %v, %v", key, out.succeeded, err)
	}
}
