// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"sync"
	"sync/atomic"

	"safebeam.dev/safebeam/pkg/journal"
)

// publisher is the durable state beside the index: recent events, watchers, the
// journal that is not in bbolt yet, and what the next checkpoint has to write.
// Everything of one group commit appears in it at once.
type publisher struct {
	db        *DB
	compacted atomic.Int64
	stored    storedBounds

	mu      sync.RWMutex
	history ring
	topics  topicSet
	watched atomic.Int64

	// live is the journal since the last checkpoint, frozen what a checkpoint
	// under way is writing.
	live, frozen *journalLayer
	followers    map[journal.Owner]map[*follower]struct{}

	dirty  dirtySet
	closed bool
	done   chan struct{}
}

// dirtySet is what has changed since the last checkpoint began.
type dirtySet struct {
	keys   []string
	leases map[int64]*leaseMeta
	bytes  int64
	// compacted says that the compaction revision has changed.
	compacted bool
}

func (p *publisher) init(db *DB, l loader) {
	p.db = db
	p.history = ring{max: db.opts.HistoryBytes, first: l.rev + 1}
	p.topics.init()
	p.live = l.journal
	p.followers = map[journal.Owner]map[*follower]struct{}{}
	p.dirty = dirtySet{keys: l.dirtyKeys, leases: l.dirtyLeases, bytes: l.bytes, compacted: l.compact != l.state.compact}
	p.compacted.Store(max(l.compact, l.oldest(db.wal)))
	p.stored.bounds = map[journal.Owner]int64{}
	p.done = make(chan struct{})
}

// publish makes a durable batch visible: the head, the queues of the watchers
// and the journal under one lock.
func (p *publisher) publish(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ev := range b.events {
		p.history.add(ev)
		p.topics.add(ev)
		p.dirty.keys = append(p.dirty.keys, ev.cur.key)
	}
	for _, c := range b.journal {
		p.live.apply(c)
		p.notifyFollowers(c)
	}
	for _, c := range b.leases {
		p.dirty.leases[c.id] = c.meta
	}
	if b.compact > p.compacted.Load() {
		p.compacted.Store(b.compact)
		p.dirty.compacted = true
		p.topics.all()
	}
	if p.dirty.bytes += b.bytes; p.dirty.bytes >= p.db.opts.CheckpointBytes {
		p.db.ckpt.request()
	}
	p.db.head.Store(&snapshot{view: b.view, rev: b.rev, lsn: b.lsn, stripped: b.stripped})
	p.db.durable.Store(b.lsn)
}

// wake lets the watchers run for whom publish has left something. It comes
// after the writers have been answered: they do not wait for a thousand
// watchers to be woken.
func (p *publisher) wake(*batch) {
	if p.watched.Load() == 0 {
		return
	}
	p.mu.Lock()
	fired := p.topics.takeFired()
	p.mu.Unlock()
	for _, c := range fired {
		close(c)
	}
}

// close ends all watches and refuses new ones.
func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	close(p.done)
	for _, w := range p.topics.watchers {
		w.cancel()
	}
}
