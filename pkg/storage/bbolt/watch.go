// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher delivers the events of a range in the order of their revisions to one
// channel. It never holds up a writer: it reads the recent events from memory
// and, if it has fallen behind them, the log.
//
// Law: a bookmark at X leaves only after every event up to X. The watcher sends
// it itself, when it has sent what was published up to a head that it read
// under the lock that publishing takes.
type watcher struct {
	db     *DB
	keys   keyRange
	topic  *topic
	next   int64 // the next revision to look at
	prevKV bool
	// progress says that the watch asked for bookmarks; asked that one is due.
	progress bool
	asked    atomic.Bool
	lastSent atomic.Int64
	c        chan clientv3.WatchResponse
	// done ends the watch: its context is over, or the store is closed. It is the
	// watch's own, as a thousand watches that wait on one channel queue for it.
	done   <-chan struct{}
	cancel context.CancelFunc
	// established says that compaction had not passed the watch's beginning.
	established bool
}

// watchBatch is how many events go into one response.
const watchBatch = 512

// watch starts a watch. from is the first revision it wants, 0 the one after
// the current.
func (db *DB) watch(ctx context.Context, keys keyRange, from int64, prevKV, progress bool) clientv3.WatchChan {
	w := &watcher{db: db, keys: keys, prevKV: prevKV, progress: progress, c: make(chan clientv3.WatchResponse, 4)}
	p := &db.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		w.c <- clientv3.WatchResponse{Header: &pb.ResponseHeader{}, Canceled: true, CancelReason: ErrClosed.Error()}
		close(w.c)
		return w.c
	}
	head := db.head.Load().rev
	w.next = from
	if from <= 0 {
		w.next = head + 1
	}
	w.topic = p.topics.join(keys, head)
	p.topics.watchers = append(p.topics.watchers, w)
	p.watched.Add(1)
	w.lastSent.Store(db.clock.Now().UnixNano())
	ctx, w.cancel = context.WithCancel(ctx)
	w.done = ctx.Done()
	db.done.Go(w.run)
	return w.c
}

func (w *watcher) run() {
	p := &w.db.pub
	defer w.cancel()
	defer func() {
		p.mu.Lock()
		p.topics.leave(w.topic)
		p.topics.forget(w)
		p.mu.Unlock()
		p.watched.Add(-1)
		close(w.c)
	}()
	for {
		step := w.look()
		if step.compacted > 0 {
			w.send(clientv3.WatchResponse{
				Header: &pb.ResponseHeader{Revision: step.head}, CompactRevision: step.compacted, Canceled: true,
			})
			return
		}
		if step.behind {
			events, next, err := w.db.replay(w.keys, w.next, step.head)
			w.next = next
			if err != nil {
				if w.db.gone(err, w.next) {
					continue
				}
				w.db.logger.Error(err, "A watch cannot read the log", "revision", w.next)
				w.send(clientv3.WatchResponse{
					Header: &pb.ResponseHeader{Revision: step.head}, Canceled: true, CancelReason: err.Error(),
				})
				return
			}
			for _, ev := range events {
				step.events = append(step.events, w.clientEvent(ev))
			}
		}
		if len(step.events) > 0 && !w.send(clientv3.WatchResponse{
			Header: &pb.ResponseHeader{Revision: step.head}, Events: step.events,
		}) {
			return
		}
		// Whoever asked, asked before this head was read or is served next time.
		if step.bookmark && w.next > step.head {
			if !w.send(clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: step.head}}) {
				return
			}
		} else if step.bookmark {
			w.asked.Store(true)
		}
		if step.changed == nil {
			continue
		}
		select {
		case <-step.changed:
		case <-w.done:
			return
		}
	}
}

// step is what a watcher finds to do at one look.
type step struct {
	head      int64
	events    []*clientv3.Event
	behind    bool
	bookmark  bool
	compacted int64
	// changed is closed when there is more; nil if there is more already.
	changed <-chan struct{}
}

// look takes what there is under the publisher's lock and moves the position.
func (w *watcher) look() step {
	p := &w.db.pub
	p.mu.RLock()
	defer p.mu.RUnlock()
	s := step{head: w.db.head.Load().rev}
	s.bookmark = w.progress && w.next <= s.head+1 && w.asked.Swap(false)
	revs, known := w.topic.from(w.next, watchBatch)
	// A watch that begins, or has to read the log, needs all there is from its
	// position on. One that is established needs its next event, and a quiet one
	// nothing: compaction may pass it by.
	need := w.next
	if w.established && known {
		need = s.head + 1
		if len(revs) > 0 {
			need = revs[0]
		}
	}
	// Who wants previous values wants the state before the event, and at the
	// compaction revision itself that one is given up as well. etcd sends the
	// event without it there, which Kubernetes reports as an error.
	if c := p.compacted.Load(); need < c || w.prevKV && need == c {
		s.compacted = c
		return s
	}
	w.established = true
	if w.next > s.head {
		s.changed = w.topic.changed
		return s
	}
	if known && len(revs) > 0 {
		w.next = revs[0]
	}
	if !known || (len(revs) > 0 && !p.history.has(revs[0])) {
		s.behind = true
		return s
	}
	s.events = make([]*clientv3.Event, len(revs))
	for i, rev := range revs {
		s.events[i] = w.clientEvent(p.history.get(rev))
	}
	if len(revs) == watchBatch {
		w.next = revs[watchBatch-1] + 1
		return s
	}
	w.next = s.head + 1
	s.changed = w.topic.changed
	return s
}

// clientEvent is what the watch sends of ev.
func (w *watcher) clientEvent(ev *event) *clientv3.Event {
	e := ev.clientEvent()
	if !w.prevKV && ev.prev != nil {
		return &clientv3.Event{Type: e.Type, Kv: e.Kv}
	}
	return e
}

// send returns false if the watch is over.
func (w *watcher) send(r clientv3.WatchResponse) bool {
	select {
	case w.c <- r:
	default: // who watches is behind
		select {
		case w.c <- r:
		case <-w.done:
			return false
		}
	}
	w.lastSent.Store(w.db.clock.Now().UnixNano())
	return true
}

// requestProgress asks the watches for which match is true for a bookmark at
// the present head or later.
func (db *DB) requestProgress(match func(*watcher) bool) {
	p := &db.pub
	p.mu.Lock()
	for _, w := range p.topics.watchers {
		if w.progress && match(w) {
			w.asked.Store(true)
			p.topics.poke(w.topic)
		}
	}
	p.mu.Unlock()
	p.wake(nil)
}

// PokeProgress makes the watches on exactly the keys with the given prefix send
// a bookmark at the present head, as soon as they have sent what comes before
// it. A consistent list from a watch cache then need not wait for the cache's
// own tick.
func (db *DB) PokeProgress(prefix string) {
	keys := prefixRange(prefix)
	db.requestProgress(func(w *watcher) bool { return w.keys == keys })
}

// runProgress gives idle watches a bookmark now and then, so that one that is
// broken off resumes inside the history.
func (db *DB) runProgress(ctx context.Context) {
	tick := db.clock.NewTicker(db.opts.ProgressNotifyInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C():
			idle := now.Add(-db.opts.ProgressNotifyInterval + time.Millisecond).UnixNano()
			db.requestProgress(func(w *watcher) bool { return w.lastSent.Load() <= idle })
		}
	}
}

// gone reports whether err came from reading history that has been compacted
// meanwhile.
func (db *DB) gone(err error, rev int64) bool {
	return errors.Is(err, errGone) && rev < db.CompactRevision()
}
