// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/journal"
)

func TestARecordIsAppendedOnceWhereverItIs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	opts := Options{Dir: dir, CheckpointInterval: time.Hour, noSync: true}
	db := openTest(t, opts)
	appends := func(number int64, data string) (written bool) {
		t.Helper()
		before := db.Stats().Records
		if err := db.Journal().Append(ctx, journal.Record{Owner: "turns/a", Number: number, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		return db.Stats().Records > before
	}
	for _, step := range []struct {
		name   string
		before func()
		number int64
		writes bool
	}{
		{"the first", func() {}, 1, true},
		{"one in memory", func() {}, 1, false},
		{"one in bbolt", func() { mustCheckpoint(t, db) }, 1, false},
		{"one beyond what is in bbolt", func() {}, 3, true},
		{"one that a checkpoint has moved since", func() { mustCheckpoint(t, db) }, 3, false},
		{"one in a gap of bbolt", func() {}, 2, true},
		{"one after reopening", func() {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openTest(t, opts)
		}, 3, false},
		{"one of a forgotten owner", func() {
			for i := range 2 * maxBounds {
				db.pub.stored.learn(journal.Owner(fmt.Sprint("others/", i)), 1, db.pub.stored.epoch.Load())
			}
			if n := len(db.pub.stored.bounds); n > maxBounds {
				t.Errorf("%d owners are remembered", n)
			}
		}, 2, false},
		{"one that was dropped", func() {
			if err := db.Journal().Drop(ctx, "turns"); err != nil {
				t.Fatal(err)
			}
			mustCheckpoint(t, db)
		}, 3, true},
	} {
		step.before()
		if written := appends(step.number, "as "+step.name); written != step.writes {
			t.Fatalf("%s: written %v", step.name, written)
		}
	}
}

func TestABoundReadBeforeACheckpointIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := storedBounds{bounds: map[journal.Owner]int64{}}
	epoch := s.epoch.Load()
	written := newJournalLayer()
	written.append(journal.Record{Owner: "turns/a", Number: 4})
	s.moved(written)
	s.learn("turns/a", 3, epoch)
	if bound, known := s.of("turns/a"); known {
		t.Errorf("bbolt is believed to end at %d", bound)
	}
}

// TestARecordIsAppendedOnceDuringCheckpoints has everybody append the same
// records while checkpoints move them.
func TestARecordIsAppendedOnceDuringCheckpoints(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTest(t, Options{CheckpointInterval: time.Hour, noSync: true})
	const owners, numbers, writers = 5, 60, 4
	before := db.Stats().Records
	var writing, checkpointing sync.WaitGroup
	done := make(chan struct{})
	checkpointing.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := db.Checkpoint(ctx); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range writers {
		writing.Go(func() {
			for number := range int64(numbers) {
				for owner := range owners {
					r := journal.Record{Owner: journal.Owner(fmt.Sprint("turns/", owner)), Number: number + 1}
					if err := db.Journal().Append(ctx, r); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writing.Wait()
	close(done)
	checkpointing.Wait()
	if written := db.Stats().Records - before; written != owners*numbers {
		t.Errorf("%d records were written for %d", written, owners*numbers)
	}
}
