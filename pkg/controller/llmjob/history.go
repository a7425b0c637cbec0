// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"maps"
	"time"

	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	minBackoff = time.Second
	maxBackoff = time.Minute
	// provenAfter is how long a job that holds no turn must live to count as
	// working. It reads its Secret and connects within a second.
	provenAfter = 5 * time.Second
)

// history is what is remembered of a model's jobs: the failures since one of
// them worked. It is a value; observe returns the next one.
type history struct {
	// cause is the spec and the revision that the failures are about. What
	// failed under another cause proves nothing.
	cause    cause
	failures int
	// last failure, if failures > 0.
	last launcher.Exit
	// counted are the listed jobs whose exit is in failures already.
	counted map[string]bool
}

// cause is what may be at fault when a job fails.
type cause struct{ hash, revision string }

// observe takes in the jobs that are listed now.
func (h history) observe(cause cause, jobs []launcher.Job, holders map[string]int, now time.Time) history {
	next := history{cause: cause, counted: map[string]bool{}}
	if h.cause == cause {
		next.failures, next.last = h.failures, h.last
	}
	// worked is the newest start of a job that is known to work.
	worked := time.Time{}
	for _, job := range jobs {
		if job.Spec.Hash() != cause.hash {
			continue
		}
		if job.Exit != nil && job.Exit.Failed() {
			next.counted[job.Name] = true
			if !h.counted[job.Name] {
				next.failures++
				if !job.Exit.Time.Before(next.last.Time) {
					next.last = *job.Exit
				}
			}
			continue
		}
		if (job.Exit != nil || proven(job, holders, now)) && job.StartTime.After(worked) {
			worked = job.StartTime
		}
	}
	// A job that was there before the failure says nothing about the next one.
	if next.failures > 0 && !worked.IsZero() && !worked.Before(next.last.Time) {
		next.failures, next.last = 0, launcher.Exit{}
	}
	return next
}

// failed counts a launch that did not even make a job.
func (h history) failed(exit launcher.Exit) history {
	h.counted = maps.Clone(h.counted)
	h.failures++
	h.last = exit
	return h
}

// proven reports whether a live job is known to work.
func proven(job launcher.Job, holders map[string]int, now time.Time) bool {
	return holders[job.Name] > 0 || !now.Before(job.StartTime.Add(provenAfter))
}

// tries reports whether job is the one that goes ahead after a failure.
func (h history) tries(job launcher.Job) bool {
	return h.failures > 0 && !job.StartTime.Before(h.last.Time)
}

// notBefore is the time before which no job is launched; zero: none.
func (h history) notBefore() time.Time {
	if h.failures == 0 {
		return time.Time{}
	}
	delay := minBackoff
	for range h.failures - 1 {
		if delay *= 2; delay >= maxBackoff {
			delay = maxBackoff
			break
		}
	}
	return h.last.Time.Add(delay)
}
