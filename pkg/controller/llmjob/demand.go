// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// demand is what the turns of one model ask of its jobs.
type demand struct {
	// running turns are held by a job.
	running int
	// runnable turns could be held by a job now.
	runnable int
	// next is when a further turn becomes runnable by itself; zero: none does.
	next time.Time
	// holders counts the running turns by job.
	holders map[string]int
}

// measure counts the unfinished turns of one model. conversation gives all
// unfinished turns of a turn's conversation, in the order of their positions:
// a conversation runs one turn at a time, so those behind its first one need
// no job yet.
func measure(turns []*tightbeamv1.Turn, conversation func(*tightbeamv1.Turn) []*tightbeamv1.Turn, now time.Time) demand {
	d := demand{holders: map[string]int{}}
	for _, turn := range turns {
		switch {
		case turn.Status.Phase.Terminal():
		case turn.Status.Phase == tightbeamv1.TurnRunning:
			d.running++
			if n := len(turn.Status.Attempts); n > 0 {
				d.holders[turn.Status.Attempts[n-1].Job]++
			}
		case !first(turn, conversation(turn)):
		case turn.Status.NotBefore != nil && turn.Status.NotBefore.After(now):
			if d.next.IsZero() || turn.Status.NotBefore.Time.Before(d.next) {
				d.next = turn.Status.NotBefore.Time
			}
		default:
			d.runnable++
		}
	}
	return d
}

// first reports whether no unfinished turn of the conversation comes before
// turn.
func first(turn *tightbeamv1.Turn, conversation []*tightbeamv1.Turn) bool {
	for _, other := range conversation {
		if other.UID != turn.UID && !other.Status.Phase.Terminal() && other.Status.Position < turn.Status.Position {
			return false
		}
	}
	return true
}
