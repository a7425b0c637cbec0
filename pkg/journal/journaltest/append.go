// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"safebeam.dev/safebeam/pkg/journal"
)

var appends = map[string]func(*testing.T, Subject){
	"AppendedRecordsAreRead": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("turns/u/events", 1, 2, 3)...)
		expectRecords(t, j, "turns/u/events", 0, 0, numbered("turns/u/events", 1, 2, 3))
		expectLast(t, j, "turns/u/events", 3)
	},
	"AppendingNothingIsNoError": func(t *testing.T, s Subject) {
		mustAppend(t, s.Open(t))
	},
	"ARepeatedAppendChangesNothing": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1, 2)...)
		mustAppend(t, j, record("a", 2, "another"), record("a", 3, "new"))
		expectRecords(t, j, "a", 0, 0, append(numbered("a", 1, 2), record("a", 3, "new")))
	},
	"ANameTwiceInOneAppendCountsOnce": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, record("a", 1, "first"), record("a", 1, "second"))
		expectRecords(t, j, "a", 0, 0, []journal.Record{record("a", 1, "first")})
	},
	"OneAppendMayNameManyOwners": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, record("a", 1, "x"), record("b", 7, "y"), record("a", 2, "z"))
		expectRecords(t, j, "a", 0, 0, []journal.Record{record("a", 1, "x"), record("a", 2, "z")})
		expectRecords(t, j, "b", 0, 0, []journal.Record{record("b", 7, "y")})
	},
	"RecordsMayBeEmpty": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, journal.Record{Owner: "a", Number: 1})
		got, err := j.Read(testContext(t), "a", 0, 0)
		if err != nil || len(got) != 1 || len(got[0].Data) != 0 {
			t.Fatalf("Read = %v, %v; want one empty record", got, err)
		}
	},
	"BadNamesAreRefused": func(t *testing.T, s Subject) {
		j := s.Open(t)
		for _, bad := range []journal.Record{record("a", 0, "x"), record("a", -1, "x"), record("", 1, "x")} {
			if err := j.Append(testContext(t), record("good", 1, "x"), bad); err == nil {
				t.Errorf("Append of record %d of %q was accepted", bad.Number, bad.Owner)
			}
		}
		expectRecords(t, j, "good", 0, 0, nil)
	},
	"AStagedRecordIsBeforeALaterAppend": func(t *testing.T, s Subject) {
		j := s.Open(t)
		ctx := testContext(t)
		var pending []journal.Pending
		for n := int64(1); n <= 50; n++ {
			pending = append(pending, j.Stage(ctx, numbered("a", n)...))
		}
		mustAppend(t, j, record("b", 1, "end"))
		// The append is durable, hence readable; so is what was staged
		// before it, waited for or not.
		expectLast(t, j, "a", 50)
		for i, p := range pending {
			if err := p.Wait(ctx); err != nil {
				t.Fatalf("Wait of %d: %v", i+1, err)
			}
		}
	},
	"AStagedAppendBecomesDurableByItself": func(t *testing.T, s Subject) {
		j := s.Open(t)
		if err := j.Stage(testContext(t), numbered("a", 1)...).Wait(testContext(t)); err != nil {
			t.Fatal(err)
		}
		expectLast(t, j, "a", 1)
	},
	"WhatIsStagedIsReadAfterASync": func(t *testing.T, s Subject) {
		j := s.Open(t)
		ctx := testContext(t)
		for n := int64(1); n <= 50; n++ {
			j.Stage(ctx, numbered("a", n)...)
			if err := j.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			expectLast(t, j, "a", n)
		}
	},
	"ABadStagedAppendFailsItsWait": func(t *testing.T, s Subject) {
		j := s.Open(t)
		err := j.Stage(testContext(t), record("a", 0, "x")).Wait(testContext(t))
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait = %v; want a refusal", err)
		}
	},
	"WhatWasAppendedOutlivesTheJournal": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a/b", 1, 2, 5)...)
		mustAppend(t, j, numbered("a/c", 1)...)
		mustDrop(t, j, "a/c")
		j = s.Reopen(t, j)
		expectRecords(t, j, "a/b", 0, 0, numbered("a/b", 1, 2, 5))
		expectRecords(t, j, "a/c", 0, 0, nil)
		mustAppend(t, j, numbered("a/b", 5, 6)...)
		j = s.Reopen(t, j)
		expectRecords(t, j, "a/b", 2, 0, numbered("a/b", 5, 6))
		expectOwners(t, j, "", 0, "a/b")
	},
	"LargeDataComesBackWhole": func(t *testing.T, s Subject) {
		j := s.Open(t)
		random := rand.New(rand.NewPCG(1, 2))
		for n, size := range []int{1 << 20, 2<<20 - 1, 5<<19 + 17} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			name := journal.Record{Owner: "large", Number: int64(n + 1), Data: data}
			mustAppend(t, j, name, record("small", int64(n+1), "beside"))
			mustAppend(t, j, name)
		}
		j = s.Reopen(t, j)
		got, err := j.Read(testContext(t), "large", 0, 0)
		if err != nil || len(got) != 3 {
			t.Fatalf("Read = %d records, %v", len(got), err)
		}
		random = rand.New(rand.NewPCG(1, 2))
		for _, r := range got {
			for i := range r.Data {
				if r.Data[i] != byte(random.Uint32()) {
					t.Fatalf("record %d differs at byte %d of %d", r.Number, i, len(r.Data))
				}
			}
		}
		expectLast(t, j, "small", 3)
		mustDrop(t, j, "large")
		expectRecords(t, j, "large", 0, 0, nil)
	},
	"ManyRecordsGoInOneAppend": func(t *testing.T, s Subject) {
		j := s.Open(t)
		var records []journal.Record
		for n := int64(1); n <= 2000; n++ {
			records = append(records, journal.Record{Owner: "many", Number: n, Data: bytes.Repeat([]byte{byte(n)}, 300)})
		}
		mustAppend(t, j, records...)
		expectRecords(t, j, "many", 0, 0, records)
		expectRecords(t, j, "many", 1990, 3, records[1990:1993])
	},
	"BinaryDataIsKept": func(t *testing.T, s Subject) {
		j := s.Open(t)
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for n := range int64(4) {
			mustAppend(t, j, record("a", n+1, fmt.Sprintf("%d%s", n, all)))
			expectRecords(t, j, "a", n, 1, []journal.Record{record("a", n+1, fmt.Sprintf("%d%s", n, all))})
		}
	},
}
