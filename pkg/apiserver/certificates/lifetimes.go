// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"fmt"
	"time"
)

// minServing leaves the loops that replace a certificate, and those that read
// the bundle, time to do it.
const minServing = time.Minute

// Lifetimes are how long certificates are valid. All that happens in the life of
// one is a part of it:
//
//	authority   made and published   a tenth later it signs …   a fifth before its end
//	                                                            it gets a successor
//	serving     made and served with …                          replaced a third
//	                                                            before its end
type Lifetimes struct {
	Authority time.Duration
	Serving   time.Duration
}

// DefaultLifetimes are ten years and ninety days.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{Authority: 10 * 365 * 24 * time.Hour, Serving: 90 * 24 * time.Hour}
}

// Validate says whether certificates can be replaced in time.
func (l Lifetimes) Validate() error {
	if l.Serving < minServing {
		return fmt.Errorf("the lifetime of serving certificates, %v, must be at least %v", l.Serving, minServing)
	}
	// What is signed by an authority last is replaced in time only if its
	// successor signs well before it ends.
	if l.Authority < 4*l.Serving {
		return fmt.Errorf("the lifetime of the authority, %v, must be at least four times that of serving certificates, %v", l.Authority, l.Serving)
	}
	return nil
}

// replaceBefore is how long before its end an authority gets a successor.
func (l Lifetimes) replaceBefore() time.Duration { return l.Authority / 5 }

// publishBefore is how long a successor is published before it signs. Pods of
// sandboxes keep the bundle that they were made with, so it bounds how old one of
// them may get.
func (l Lifetimes) publishBefore() time.Duration { return l.Authority / 10 }

// renewBefore is how long before its end a serving certificate is replaced.
func (l Lifetimes) renewBefore() time.Duration { return l.Serving / 3 }

// checkInterval is how often everything is looked at.
func (l Lifetimes) checkInterval() time.Duration { return l.Serving / 180 }

// plan drops the authorities that have run out and says whether the newest of
// the rest needs a successor. One that was made for a longer life than is wanted
// now gets it as early, and stays published for as long as it is valid.
func (l Lifetimes) plan(now time.Time, pairs []pair) (kept []pair, renew bool) {
	for _, p := range pairs {
		if now.Before(p.certificate.NotAfter) {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return nil, true
	}
	newest := kept[len(kept)-1].certificate
	end := newest.NotAfter
	if wanted := newest.NotBefore.Add(backdate + l.Authority); wanted.Before(end) {
		end = wanted
	}
	return kept, now.After(end.Add(-l.replaceBefore()))
}

// signer is the newest authority that has been published for long enough, or
// the oldest if none has.
func (l Lifetimes) signer(now time.Time, pairs []pair) pair {
	for i := len(pairs) - 1; i > 0; i-- {
		if now.After(pairs[i].certificate.NotBefore.Add(backdate + l.publishBefore())) {
			return pairs[i]
		}
	}
	return pairs[0]
}
