// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"time"
)

const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
)

// history is what is remembered of a pool's pods that failed before they were
// Ready.
type history struct {
	// hash of the template that failed.
	hash     string
	failures int
	last     time.Time
	reason   string
	message  string
}

// failed is the history after one more failure.
func (h history) failed(hash, reason, message string, now time.Time) history {
	if h.hash != hash {
		h = history{hash: hash}
	}
	h.failures++
	h.last, h.reason, h.message = now, reason, message
	return h
}

// of is the history as far as it concerns the template.
func (h history) of(hash string) history {
	if h.hash != hash {
		return history{hash: hash}
	}
	return h
}

// notBefore is when the next pod may be made.
func (h history) notBefore() time.Time {
	if h.failures == 0 {
		return time.Time{}
	}
	wait := maxBackoff
	if h.failures < 10 {
		wait = min(firstBackoff<<(h.failures-1), maxBackoff)
	}
	return h.last.Add(wait)
}
