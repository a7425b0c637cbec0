// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// outcome is the result of a staged write, not durable yet.
type outcome struct {
	succeeded bool
	// rev is the revision of the write.
	rev int64
	// found is the entry that was in the way of a write that did not succeed;
	// nil if there is none. Its value may lie in bbolt.
	found *entry
	// batch is what the answer depends on, nil if it is durable already.
	batch *batch
	lead  bool
}

// condition decides about a write by the staged entry, nil if there is none.
type condition struct {
	holds func(cur *entry) bool
	// absent says that it holds for no key that exists: there is no value to
	// replace.
	absent bool
}

// atRevision is the condition of an optimistic write; 0 means that the key must
// not exist.
func atRevision(rev int64) condition {
	if rev == 0 {
		return condition{holds: func(cur *entry) bool { return cur == nil }, absent: true}
	}
	return condition{holds: func(cur *entry) bool { return cur != nil && cur.mod == rev }}
}

var always = condition{holds: func(*entry) bool { return true }}

func checkKey(key string) error {
	if key == "" {
		return rpctypes.ErrEmptyKey
	}
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("%w: a key of %d bytes, the limit is %d", rpctypes.ErrRequestTooLarge, len(key), MaxKeyBytes)
	}
	return nil
}

// stagePut stages a put under a condition. The value belongs to the store from
// now on.
func (db *DB) stagePut(ctx context.Context, key string, value []byte, leaseID int64, cond condition) (out outcome, err error) {
	if err := checkKey(key); err != nil {
		return out, err
	}
	if len(value) > MaxValueBytes {
		return out, fmt.Errorf("%w: a value of %d bytes, the limit is %d", rpctypes.ErrRequestTooLarge, len(value), MaxValueBytes)
	}
	e := &entry{key: key, value: compactValue(value), version: 1, lease: leaseID}
	ev := &event{cur: e}
	prev := db.prefetch(key, cond)
	decide := func() (int, error) {
		cur := db.idx.get(key)
		if out.succeeded = cond.holds(cur); !out.succeeded {
			db.refuse(&out, key, cur)
			return 0, nil
		}
		if leaseID != 0 && db.leases[leaseID] == nil {
			return 0, rpctypes.ErrLeaseNotFound
		}
		if prev, err = db.withValue(cur, prev); err != nil {
			return 0, err
		}
		size := len(key) + len(e.value) + maxMeta
		if prev != nil {
			size += len(prev.value)
		}
		return size, nil
	}
	b, lead, err := db.stage(ctx, true, writesAhead(ctx, db), decide, func(b *batch) {
		e.create, e.mod = db.rev+1, db.rev+1
		if prev != nil {
			e.create, e.version = prev.create, prev.version+1
			db.leases.detach(prev.lease, key)
		}
		db.leases.attach(leaseID, key)
		db.record(b, recordPut, e.mod, func(buf []byte) []byte { return appendPut(buf, e, prev) })
		db.idx.set(e)
		ev.rev, ev.prev = e.mod, prev
		b.events = append(b.events, ev)
		out.rev = e.mod
	})
	if b != nil {
		out.batch, out.lead = b, lead
	}
	return out, err
}

// stageDelete stages the deletion of a key under a condition. A key that does
// not exist satisfies no condition but is no change either.
func (db *DB) stageDelete(ctx context.Context, key string, cond condition) (out outcome, err error) {
	if err := checkKey(key); err != nil {
		return out, err
	}
	prev := db.prefetch(key, cond)
	decide := func() (int, error) {
		cur := db.idx.get(key)
		out.succeeded = cond.holds(cur)
		if cur == nil || !out.succeeded {
			db.refuse(&out, key, cur)
			return 0, nil
		}
		if prev, err = db.withValue(cur, prev); err != nil {
			return 0, err
		}
		return len(key) + len(prev.value) + maxMeta, nil
	}
	b, lead, err := db.stage(ctx, false, false, decide, func(b *batch) {
		rev := db.rev + 1
		db.leases.detach(prev.lease, key)
		db.record(b, recordDelete, rev, func(buf []byte) []byte { return appendDelete(buf, key, prev) })
		db.idx.delete(key)
		b.events = append(b.events, &event{rev: rev, cur: &entry{key: key, mod: rev}, deleted: true, prev: prev})
		out.rev = rev
	})
	if b != nil {
		out.batch, out.lead = b, lead
	}
	return out, err
}

// maxMeta is the most that the lengths and numbers of a put take.
const maxMeta = 128

// prefetch reads the present value outside the lock, for the record of what is
// replaced. It may be out of date by the time it is used.
func (db *DB) prefetch(key string, cond condition) *entry {
	if cond.absent {
		return nil
	}
	e := db.head.Load().view.get(key)
	if e == nil || e.resident() {
		return e
	}
	// An error will come again, and be returned, under the lock.
	full, _ := db.fetch(e)
	return full
}

// withValue returns the staged entry cur, which may be nil, with its value; hint
// may be it. Call with mu held.
func (db *DB) withValue(cur, hint *entry) (*entry, error) {
	if cur == nil || cur.resident() {
		return cur, nil
	}
	if hint != nil && hint.mod == cur.mod {
		return hint, nil
	}
	full, err := db.fetch(cur)
	if err == nil && full == nil {
		err = corrupt("revision %d of key %q is missing in the checkpoint", cur.mod, cur.key)
	}
	return full, err
}

// refuse notes what stands in the way of a write, and on what batch that
// answer depends. Call with mu held.
func (db *DB) refuse(out *outcome, key string, cur *entry) {
	out.found = cur
	head := db.head.Load()
	if cur != nil {
		out.rev = cur.mod
	} else if head.view.get(key) != nil {
		// Gone in the staged state only.
		out.rev = db.rev
	}
	out.batch = nil
	for _, b := range db.unsettled {
		if out.rev <= head.rev {
			break
		}
		out.batch = b
		if b.lsn != 0 && b.rev >= out.rev {
			break
		}
	}
}

// compactValue returns the value in memory of about its own size: encoders hand
// over buffers that grew by doubling, and the store keeps values for long.
func compactValue(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	if cap(value)-len(value) > len(value)/4 {
		return append(make([]byte, 0, len(value)), value...)
	}
	return value[:len(value):len(value)]
}
