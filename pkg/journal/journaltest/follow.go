// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"errors"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/journal"
)

var follows = map[string]func(*testing.T, Subject){
	"FollowYieldsWhatIsThereAndWhatComes": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1, 2)...)
		f := follow(t, j, "a", 0)
		f.expect(numbered("a", 1, 2)...)
		for n := int64(3); n < 20; n++ {
			mustAppend(t, j, numbered("a", n)...)
			f.expect(numbered("a", n)...)
		}
	},
	"FollowBeginsAfterItsCursor": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1, 2, 3)...)
		f := follow(t, j, "a", 2)
		f.expect(numbered("a", 3)...)
		mustAppend(t, j, numbered("a", 4)...)
		f.expect(numbered("a", 4)...)
	},
	"FollowWaitsForAnOwnerWithoutRecords": func(t *testing.T, s Subject) {
		j := s.Open(t)
		f := follow(t, j, "a", 5)
		mustAppend(t, j, numbered("a", 4, 5, 6, 9)...)
		f.expect(numbered("a", 6, 9)...)
	},
	"FollowSeesOneAppendInOrder": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1)...)
		f := follow(t, j, "a", 0)
		f.expect(numbered("a", 1)...)
		mustAppend(t, j, numbered("a", 4, 3, 2)...)
		f.expect(numbered("a", 2, 3, 4)...)
	},
	"FollowDoesNotSeeNeighbours": func(t *testing.T, s Subject) {
		j := s.Open(t)
		f := follow(t, j, "a/b", 0)
		mustAppend(t, j, record("a", 1, "x"), record("a/bc", 1, "x"), record("a/b/c", 1, "x"), record("a/b", 1, "mine"))
		f.expect(record("a/b", 1, "mine"))
	},
	"ARepeatedAppendIsFollowedOnce": func(t *testing.T, s Subject) {
		j := s.Open(t)
		f := follow(t, j, "a", 0)
		mustAppend(t, j, numbered("a", 1)...)
		mustAppend(t, j, numbered("a", 1)...)
		mustAppend(t, j, numbered("a", 1, 2)...)
		f.expect(numbered("a", 1, 2)...)
	},
	"FollowEndsWithoutErrorWhenItsContextDoes": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1)...)
		f := follow(t, j, "a", 0)
		f.expect(numbered("a", 1)...)
		f.cancel()
		f.expectEnd()
	},
	"AFollowerMayLeave": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a", 1, 2, 3)...)
		for r, err := range j.Follow(testContext(t), "a", 0) {
			if err != nil || r.Number != 1 {
				t.Fatalf("Follow = %v, %v", r, err)
			}
			break
		}
		mustAppend(t, j, numbered("a", 4)...)
	},
	"FollowEndsWithTheOwner": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a/b", 1)...)
		f := follow(t, j, "a/b", 0)
		f.expect(numbered("a/b", 1)...)
		mustDrop(t, j, "a/b")
		f.expectDropped()
	},
	"FollowEndsWithAnOwnerAbove": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a/b/c", 1)...)
		f := follow(t, j, "a/b/c", 0)
		f.expect(numbered("a/b/c", 1)...)
		mustDrop(t, j, "a")
		f.expectDropped()
	},
	"FollowEndsWithAnOwnerThatHasNoRecordsYet": func(t *testing.T, s Subject) {
		j := s.Open(t)
		f := follow(t, j, "a/b", 0)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if r, err, ok := f.next(); !ok || !errors.Is(err, journal.ErrDropped) {
				t.Errorf("Follow = %v, %v, %t; want ErrDropped", r, err, ok)
			}
		}()
		// There is nothing to tell that it has begun, so it is dropped until
		// it ends.
		for {
			mustDrop(t, j, "a")
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	},
	"FollowOutlivesTheDropOfANeighbour": func(t *testing.T, s Subject) {
		j := s.Open(t)
		mustAppend(t, j, numbered("a/bc", 1)...)
		mustAppend(t, j, numbered("a/b", 1)...)
		f := follow(t, j, "a/bc", 0)
		f.expect(numbered("a/bc", 1)...)
		mustDrop(t, j, "a/b")
		mustAppend(t, j, numbered("a/bc", 2)...)
		f.expect(numbered("a/bc", 2)...)
	},
	"ASlowFollowerMissesNothing": func(t *testing.T, s Subject) {
		j := s.Open(t)
		f := follow(t, j, "a", 0)
		mustAppend(t, j, numbered("a", 1)...)
		f.expect(numbered("a", 1)...)
		var later []int64
		for n := int64(2); n <= 1500; n++ {
			later = append(later, n)
		}
		for len(later) > 0 {
			n := min(len(later), 100)
			mustAppend(t, j, numbered("a", later[:n]...)...)
			later = later[n:]
		}
		for n := int64(2); n <= 1500; n++ {
			f.expect(numbered("a", n)...)
		}
	},
}
