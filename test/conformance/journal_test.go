// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"sync"
	"testing"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/journaltest"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func TestOurJournalKeepsTheJournalsLaws(t *testing.T) {
	type opened struct {
		db  *bbolt.DB
		dir string
	}
	var mu sync.Mutex
	journals := map[journal.Journal]opened{}
	open := func(t *testing.T, dir string) journal.Journal {
		db, err := bbolt.Open(bbolt.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil && !errors.Is(err, bbolt.ErrClosed) {
				t.Errorf("Close: %v", err)
			}
		})
		mu.Lock()
		defer mu.Unlock()
		j := db.Journal()
		journals[j] = opened{db, dir}
		return j
	}
	journaltest.Run(t, journaltest.Subject{
		Open: func(t *testing.T) journal.Journal { return open(t, t.TempDir()) },
		Reopen: func(t *testing.T, j journal.Journal) journal.Journal {
			mu.Lock()
			o := journals[j]
			mu.Unlock()
			if err := o.db.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, o.dir)
		},
	})
}
