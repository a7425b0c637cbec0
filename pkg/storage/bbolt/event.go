// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// event is a change of one object: one revision.
type event struct {
	rev int64
	// cur is the new state; for a deletion it has only key and mod.
	cur     *entry
	deleted bool
	// prev is the state before, with its value; nil for a creation.
	prev *entry

	// client is the event in the form of the etcd client, made once for all
	// watchers, who may not change it.
	client atomic.Pointer[clientv3.Event]
}

func (ev *event) bytes() int64 {
	n := 256 + len(ev.cur.key) + len(ev.cur.value)
	if ev.prev != nil {
		n += len(ev.prev.value)
	}
	return int64(n)
}

func (ev *event) clientEvent() *clientv3.Event {
	if e := ev.client.Load(); e != nil {
		return e
	}
	e := &clientv3.Event{Type: clientv3.EventTypePut, Kv: ev.cur.keyValue()}
	if ev.deleted {
		e.Type = clientv3.EventTypeDelete
		e.Kv = &mvccpb.KeyValue{Key: []byte(ev.cur.key), ModRevision: ev.rev}
	}
	if ev.prev != nil {
		e.PrevKv = ev.prev.keyValue()
	}
	ev.client.Store(e)
	return e
}

// keyValue returns a resident entry in the form of the etcd client. The value
// is shared: nobody may change it.
func (e *entry) keyValue() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key:            []byte(e.key),
		Value:          e.value,
		CreateRevision: e.create,
		ModRevision:    e.mod,
		Version:        e.version,
		Lease:          e.lease,
	}
}

// eventOf makes an event of a decoded operation, which it keeps.
func eventOf(op *operation) *event {
	return &event{rev: op.rev, cur: &op.cur, deleted: op.typ == recordDelete, prev: op.prev}
}

// ring holds the latest events without a gap, within a bound of bytes. It has
// no lock of its own.
type ring struct {
	max   int64
	bytes int64
	// first is the revision of events[0], or of the next event if it is empty.
	first  int64
	events []*event
}

func (r *ring) add(ev *event) {
	r.events = append(r.events, ev)
	r.bytes += ev.bytes()
	drop := 0
	for r.bytes > r.max && drop < len(r.events)-1 {
		r.bytes -= r.events[drop].bytes()
		r.events[drop] = nil
		drop++
	}
	r.events = r.events[drop:]
	r.first += int64(drop)
}

// reset empties the ring; the next event will be rev.
func (r *ring) reset(rev int64) { r.first, r.events, r.bytes = rev, nil, 0 }

func (r *ring) has(rev int64) bool { return rev >= r.first && rev < r.first+int64(len(r.events)) }

func (r *ring) get(rev int64) *event { return r.events[rev-r.first] }

// slice returns the events with from <= revision <= to, at most n.
func (r *ring) slice(from, to int64, n int) []*event {
	lo := int(from - r.first)
	hi := min(int(to-r.first)+1, lo+n, len(r.events))
	out := make([]*event, hi-lo)
	copy(out, r.events[lo:hi])
	return out
}
