// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"safebeam.dev/safebeam/pkg/journal"
)

var concurrency = map[string]func(*testing.T, Subject){
	"ConcurrentAppendsToManyOwnersAreAllKept": func(t *testing.T, s Subject) {
		j := s.Open(t)
		const writers, each = 16, 60
		group, ctx := errgroup.WithContext(testContext(t))
		for w := range writers {
			group.Go(func() error {
				owner := journal.Owner(fmt.Sprintf("turns/%d/events", w))
				for n := int64(1); n <= each; n++ {
					if err := j.Append(ctx, numbered(owner, n)...); err != nil {
						return err
					}
					if last, err := j.Last(ctx, owner); err != nil || last != n {
						return fmt.Errorf("last of %s after append %d: %d, %w", owner, n, last, err)
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			owner := journal.Owner(fmt.Sprintf("turns/%d/events", w))
			got, err := j.Read(testContext(t), owner, 0, 0)
			if err != nil || len(got) != each {
				t.Fatalf("%s has %d records, %v; want %d", owner, len(got), err, each)
			}
		}
	},
	"OfRacingAppendsOfOneNameExactlyOneIsKept": func(t *testing.T, s Subject) {
		j := s.Open(t)
		const writers, names = 8, 40
		f := follow(t, j, "a", 0)
		group, ctx := errgroup.WithContext(testContext(t))
		for w := range writers {
			group.Go(func() error {
				for n := int64(1); n <= names; n++ {
					if err := j.Append(ctx, record("a", n, fmt.Sprintf("writer %d", w))); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		got, err := j.Read(testContext(t), "a", 0, 0)
		if err != nil || len(got) != names {
			t.Fatalf("%d records, %v; want %d", len(got), err, names)
		}
		// What a follower was handed is what stays.
		f.expect(got...)
	},
	"AnAppendOfSeveralRecordsIsSeenWholeOrNotAtAll": func(t *testing.T, s Subject) {
		j := s.Open(t)
		ctx := testContext(t)
		done := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					got, err := j.Read(ctx, "a", 0, 0)
					if err != nil {
						t.Errorf("Read: %v", err)
						return
					}
					if len(got)%3 != 0 {
						t.Errorf("a reader saw %d records; they come three at a time", len(got))
						return
					}
				}
			})
		}
		for n := int64(1); n <= 150; n += 3 {
			mustAppend(t, j, numbered("a", n, n+1, n+2)...)
		}
		close(done)
		readers.Wait()
	},
}
