// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"testing"

	"safebeam.dev/safebeam/pkg/journal"
)

var reads = map[string]func(*testing.T, Subject){
	"AnUnknownOwnerHasNoRecords": func(t *testing.T, s Subject) {
		j := s.Open(t)
		expectRecords(t, j, "nobody", 0, 0, nil)
		expectLast(t, j, "nobody", 0)
		expectOwners(t, j, "", 0)
	},
	"RecordsAreInTheOrderOfTheirNumbers": func(t *testing.T, s Subject) {
		j := s.Open(t)
		for _, n := range []int64{7, 1, 300, 2, 65536, 256, 9} {
			mustAppend(t, j, numbered("a", n)...)
		}
		expectRecords(t, j, "a", 0, 0, numbered("a", 1, 2, 7, 9, 256, 300, 65536))
		expectLast(t, j, "a", 65536)
	},
	"NumbersMayHaveGaps": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 10, 20, 1<<40)...)
		expectRecords(t, j, "a", 10, 0, numbered("a", 20, 1<<40))
		expectRecords(t, j, "a", 11, 1, numbered("a", 20))
		expectRecords(t, j, "a", 1<<40, 0, nil)
		expectRecords(t, j, "a", 1<<50, 0, nil)
		expectRecords(t, j, "a", -3, 1, numbered("a", 10))
	},
	"ALimitCutsARead": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1, 2, 3, 4)...)
		expectRecords(t, j, "a", 1, 2, numbered("a", 2, 3))
		expectRecords(t, j, "a", 1, 100, numbered("a", 2, 3, 4))
	},
	"OwnersDoNotMixWithTheirNeighbours": func(t *testing.T, s Subject) {
		j := s.Open(t)
		owners := []journal.Owner{"a", "a b", "a!", "a-", "a.b", "a/b", "a/b/c", "a/bc", "a0", "aa", "b"}
		for _, owner := range owners {
			mustAppend(t, j, numbered(owner, 1, 2)...)
		}
		for _, owner := range owners {
			expectRecords(t, j, owner, 0, 0, numbered(owner, 1, 2))
			expectLast(t, j, owner, 2)
		}
	},
	"OwnersComeInOrderAndPages": func(t *testing.T, s Subject) {
		j := s.Open(t)
		for _, owner := range []journal.Owner{"b", "a/x", "a", "a-x", "c/1/events", "c/1"} {
			mustAppend(t, j, numbered(owner, 1, 2, 3)...)
		}
		expectOwners(t, j, "", 0, "a", "a-x", "a/x", "b", "c/1", "c/1/events")
		expectOwners(t, j, "", 2, "a", "a-x")
		expectOwners(t, j, "a-x", 2, "a/x", "b")
		expectOwners(t, j, "b", 2, "c/1", "c/1/events")
		expectOwners(t, j, "c/1/events", 2)
		// A cursor need not be an owner.
		expectOwners(t, j, "a/", 1, "a/x")
	},
}
