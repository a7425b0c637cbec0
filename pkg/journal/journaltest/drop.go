// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"testing"

	"safebeam.dev/safebeam/pkg/journal"
)

var drops = map[string]func(*testing.T, Subject){
	"DropRemovesTheSubtreeAndNothingBesideIt": func(t *testing.T, s Subject) {
		j := s.Open(t)
		gone := []journal.Owner{"a/b", "a/b/c", "a/b/c/d", "a/b/!"}
		kept := []journal.Owner{"a", "a/bc", "a/b-c", "a/b.c", "a/b0", "a/b!", "a/c", "b"}
		for _, owner := range append(append([]journal.Owner{}, gone...), kept...) {
			mustAppend(t, j, numbered(owner, 1, 2)...)
		}
		mustDrop(t, j, "a/b")
		for _, owner := range gone {
			expectRecords(t, j, owner, 0, 0, nil)
			expectLast(t, j, owner, 0)
		}
		for _, owner := range kept {
			expectRecords(t, j, owner, 0, 0, numbered(owner, 1, 2))
		}
		j = s.Reopen(t, j)
		expectOwners(t, j, "", 0, "a", "a/b!", "a/b-c", "a/b.c", "a/b0", "a/bc", "a/c", "b")
	},
	"DroppingNothingIsNoError": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustDrop(t, j, "nobody")
		mustAppend(t, j, numbered("a", 1)...)
		mustDrop(t, j, "a")
		mustDrop(t, j, "a")
	},
	"ADroppedOwnerBeginsAnew": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1, 2, 3)...)
		mustDrop(t, j, "a")
		mustAppend(t, j, record("a", 2, "new"))
		expectRecords(t, j, "a", 0, 0, []journal.Record{record("a", 2, "new")})
		expectLast(t, j, "a", 2)
		j = s.Reopen(t, j)
		expectRecords(t, j, "a", 0, 0, []journal.Record{record("a", 2, "new")})
		follow(t, j, "a", 0).expect(record("a", 2, "new"))
	},
	"DropComesAfterWhatWasStaged": func(t *testing.T, s Subject) {
		j := s.Open(t)
		pending := j.Stage(testContext(t), numbered("a", 1, 2)...)
		mustDrop(t, j, "a")
		if err := pending.Wait(testContext(t)); err != nil {
			t.Fatalf("Wait: %v", err)
		}
		expectRecords(t, j, "a", 0, 0, nil)
	},
	"AnEmptyRootIsRefused": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1)...)
		if err := j.Drop(testContext(t), ""); err == nil {
			t.Fatal("Drop of the empty owner was accepted")
		}
		expectLast(t, j, "a", 1)
	},
}
