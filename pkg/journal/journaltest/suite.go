// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safebeam.dev/safebeam/pkg/journal"
)

// Subject is the implementation under test.
type Subject struct {
	// Open returns a journal that is empty and closed with the test.
	Open func(t *testing.T) journal.Journal
	// Reopen closes j, which Open or Reopen returned, and opens what it
	// stored anew.
	Reopen func(t *testing.T, j journal.Journal) journal.Journal
}

// Run runs the suite.
func Run(t *testing.T, subject Subject) {
	for _, group := range []map[string]func(*testing.T, Subject){appends, reads, follows, drops, concurrency} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, subject)
			})
		}
	}
}

// patience bounds every wait of the suite. It is reached in failures only.
const patience = 30 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func record(owner journal.Owner, number int64, data string) journal.Record {
	return journal.Record{Owner: owner, Number: number, Data: []byte(data)}
}

// numbered returns records of owner whose data says who they are.
func numbered(owner journal.Owner, numbers ...int64) []journal.Record {
	records := make([]journal.Record, len(numbers))
	for i, n := range numbers {
		records[i] = record(owner, n, fmt.Sprintf("%s#%d", owner, n))
	}
	return records
}

func mustAppend(t *testing.T, j journal.Journal, records ...journal.Record) {
	t.Helper()
	if err := j.Append(testContext(t), records...); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func mustDrop(t *testing.T, j journal.Journal, root journal.Owner) {
	t.Helper()
	if err := j.Drop(testContext(t), root); err != nil {
		t.Fatalf("Drop(%s): %v", root, err)
	}
}

func expectRecords(t *testing.T, j journal.Journal, owner journal.Owner, after int64, limit int, want []journal.Record) {
	t.Helper()
	got, err := j.Read(testContext(t), owner, after, limit)
	if err != nil {
		t.Fatalf("Read(%s, %d, %d): %v", owner, after, limit, err)
	}
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Read(%s, %d, %d), -want +got:\n%s", owner, after, limit, diff)
	}
}

func expectLast(t *testing.T, j journal.Journal, owner journal.Owner, want int64) {
	t.Helper()
	got, err := j.Last(testContext(t), owner)
	if err != nil || got != want {
		t.Fatalf("Last(%s) = %d, %v; want %d", owner, got, err, want)
	}
}

func expectOwners(t *testing.T, j journal.Journal, after journal.Owner, limit int, want ...journal.Owner) {
	t.Helper()
	got, err := j.Owners(testContext(t), after, limit)
	if err != nil {
		t.Fatalf("Owners(%q, %d): %v", after, limit, err)
	}
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Owners(%q, %d), -want +got:\n%s", after, limit, diff)
	}
}

// follower pulls a Follow step by step.
type follower struct {
	t      *testing.T
	cancel context.CancelFunc
	next   func() (journal.Record, error, bool)
	stop   func()
}

func follow(t *testing.T, j journal.Journal, owner journal.Owner, after int64) *follower {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	next, stop := iter.Pull2(j.Follow(ctx, owner, after))
	t.Cleanup(func() { cancel(); stop() })
	return &follower{t: t, cancel: cancel, next: next, stop: stop}
}

func (f *follower) expect(want ...journal.Record) {
	f.t.Helper()
	for _, w := range want {
		got, err, ok := f.next()
		if !ok || err != nil {
			f.t.Fatalf("Follow ended with (%v, %t) before record %d", err, ok, w.Number)
		}
		if diff := cmp.Diff(w, got); diff != "" {
			f.t.Fatalf("Follow, -want +got:\n%s", diff)
		}
	}
}

func (f *follower) expectDropped() {
	f.t.Helper()
	got, err, ok := f.next()
	if !ok || !errors.Is(err, journal.ErrDropped) {
		f.t.Fatalf("Follow = %v, %v, %t; want ErrDropped", got, err, ok)
	}
	f.expectEnd()
}

func (f *follower) expectEnd() {
	f.t.Helper()
	if got, err, ok := f.next(); ok {
		f.t.Fatalf("Follow went on with %v, %v", got, err)
	}
}
