// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/journaltest"
)

// TestTheJournalKeepsItsContract runs the contract of the journal with records
// where they are at first, in memory, and where every test finds them in bbolt.
func TestTheJournalKeepsItsContract(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wrap func(*DB) journal.Journal
	}{
		{"in memory", func(db *DB) journal.Journal { return db.Journal() }},
		{"checkpointed", func(db *DB) journal.Journal { return eager{db.Journal(), db} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			stores := map[journal.Journal]*DB{}
			open := func(t *testing.T, dir string) journal.Journal {
				db := openTest(t, Options{Dir: dir})
				j := c.wrap(db)
				mu.Lock()
				defer mu.Unlock()
				stores[j] = db
				return j
			}
			journaltest.Run(t, journaltest.Subject{
				Open: func(t *testing.T) journal.Journal { return open(t, t.TempDir()) },
				Reopen: func(t *testing.T, j journal.Journal) journal.Journal {
					mu.Lock()
					db := stores[j]
					mu.Unlock()
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					return open(t, db.opts.Dir)
				},
			})
		})
	}
}

// eager makes a checkpoint after every change.
type eager struct {
	journal.Journal
	db *DB
}

func (e eager) Append(ctx context.Context, records ...journal.Record) error {
	if err := e.Journal.Append(ctx, records...); err != nil {
		return err
	}
	return e.db.Checkpoint(ctx)
}

func (e eager) Drop(ctx context.Context, root journal.Owner) error {
	if err := e.Journal.Drop(ctx, root); err != nil {
		return err
	}
	return e.db.Checkpoint(ctx)
}

func TestALongDropIsDoneInParts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTest(t, Options{})
	j := db.Journal()
	const n = 3*chunkKeys + 17
	for from := 1; from <= n; from += 500 {
		var records []journal.Record
		for i := from; i < from+500 && i <= n; i++ {
			records = append(records, journal.Record{Owner: "a/b", Number: int64(i), Data: []byte("x")})
		}
		if err := j.Append(ctx, records...); err != nil {
			t.Fatal(err)
		}
	}
	for _, owner := range []journal.Owner{"a", "a-b", "a/bc", "b"} {
		if err := j.Append(ctx, journal.Record{Owner: owner, Number: 1, Data: []byte("y")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	if err := j.Drop(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(ctx, journal.Record{Owner: "a/b", Number: 1, Data: []byte("anew")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		records, err := j.Read(ctx, "a/b", 0, 0)
		if err != nil || len(records) != 1 || string(records[0].Data) != "anew" {
			t.Fatalf("%d records, %v", len(records), err)
		}
		owners, err := j.Owners(ctx, "", 0)
		if err != nil || fmt.Sprint(owners) != "[a a-b a/b a/bc b]" {
			t.Fatalf("owners %v, %v", owners, err)
		}
		if err := db.Checkpoint(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
