// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"strings"
	"sync/atomic"

	"safebeam.dev/safebeam/pkg/journal"
)

// follower is one reader that waits for more records of an owner.
type follower struct {
	owner   journal.Owner
	wake    chan struct{}
	dropped atomic.Bool
}

func (p *publisher) follow(owner journal.Owner) *follower {
	f := &follower{owner: owner, wake: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.followers[owner] == nil {
		p.followers[owner] = map[*follower]struct{}{}
	}
	p.followers[owner][f] = struct{}{}
	return f
}

func (p *publisher) unfollow(f *follower) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.followers[f.owner], f)
	if len(p.followers[f.owner]) == 0 {
		delete(p.followers, f.owner)
	}
}

// notifyFollowers wakes those whom a published change concerns. Call with mu
// held.
func (p *publisher) notifyFollowers(c journalChange) {
	if len(p.followers) == 0 {
		return
	}
	if c.root != "" {
		for owner, set := range p.followers {
			if owner == c.root || strings.HasPrefix(string(owner), string(c.root)+"/") {
				for f := range set {
					f.dropped.Store(true)
					f.signal()
				}
			}
		}
		return
	}
	var last journal.Owner
	for _, r := range c.records {
		if r.Owner != last {
			last = r.Owner
			for f := range p.followers[last] {
				f.signal()
			}
		}
	}
}

func (f *follower) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// journalHas looks the record up in what is durable and not yet in bbolt.
func (p *publisher) journalHas(r journal.Record) (has, decided bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, l := range []*journalLayer{p.live, p.frozen} {
		if l == nil {
			continue
		}
		if l.has(r.Owner, r.Number) {
			return true, true
		}
		if l.covers(r.Owner) {
			return false, true
		}
	}
	return false, false
}

// stack lays the upper layer onto the lower one, which it may change.
func stack(upper, lower *journalLayer) *journalLayer {
	for root := range upper.drops {
		lower.drop(root)
	}
	for _, o := range upper.owners {
		for _, r := range o.records {
			lower.append(r)
		}
	}
	return lower
}
