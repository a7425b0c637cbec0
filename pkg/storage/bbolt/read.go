// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"context"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Readers see the head: the durable state. They take no lock that a writer
// takes. A value that is not in memory is read from bbolt: an entry of the head
// whose value was stripped has, in any transaction begun before the head was
// read, either the same revision there or the transaction is older than the
// checkpoint that stripped it, and a newer one is begun.

// read begins a transaction and returns it with a head at least as new: every
// stripped entry of the head is in the transaction. The caller rolls it back.
func (db *DB) read() (*bolt.Tx, *snapshot, error) {
	for {
		tx, err := db.checkpoint.begin()
		if err != nil {
			return nil, nil, db.readError(err)
		}
		head := db.head.Load()
		s, err := readState(tx)
		if err != nil {
			tx.Rollback()
			return nil, nil, err
		}
		if head.stripped <= s.rev {
			return tx, head, nil
		}
		tx.Rollback()
	}
}

func (db *DB) readError(err error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return ErrClosed
	}
	return err
}

// checkRevision says whether history can show revision rev, 0 being the head.
func (db *DB) checkRevision(rev, head int64) error {
	switch {
	case rev > head:
		return rpctypes.ErrFutureRev
	case rev > 0 && rev < db.CompactRevision():
		return rpctypes.ErrCompacted
	}
	return nil
}

// getCurrent returns the key at the head, nil if it does not exist, and the
// head's revision.
func (db *DB) getCurrent(key string) (*entry, int64, error) {
	for {
		head := db.head.Load()
		e := head.view.get(key)
		if e == nil || e.resident() {
			return e, head.rev, nil
		}
		full, err := db.fetch(e)
		if err != nil {
			return nil, 0, err
		}
		if full != nil {
			return full, head.rev, nil
		}
		// The key was changed and checkpointed meanwhile: look at a newer head.
	}
}

// fetch returns e with its value from bbolt, nil if bbolt has another revision.
func (db *DB) fetch(e *entry) (*entry, error) {
	tx, err := db.checkpoint.begin()
	if err != nil {
		return nil, db.readError(err)
	}
	defer tx.Rollback()
	return fetchIn(tx.Bucket(bucketKeys), e)
}

func fetchIn(keys *bolt.Bucket, e *entry) (*entry, error) {
	b := keys.Get([]byte(e.key))
	if b == nil {
		return nil, nil
	}
	return withStoredValue(e, b)
}

// withStoredValue returns e with a copy of the value in b, which is what bbolt
// holds of its key; nil if that is of another revision.
func withStoredValue(e *entry, b []byte) (*entry, error) {
	stored, err := decodeStored([]byte(e.key), b)
	if err != nil {
		return nil, err
	}
	if stored.mod != e.mod {
		return nil, nil
	}
	full := *e
	full.value = append(make([]byte, 0, len(stored.value)), stored.value...)
	return &full, nil
}

// rangeRequest is a read of a range; its fields are etcd's.
type rangeRequest struct {
	keys      keyRange
	rev       int64
	limit     int64
	keysOnly  bool
	countOnly bool
}

type rangeResult struct {
	kvs   []*mvccpb.KeyValue
	count int64
	more  bool
	rev   int64
}

// readRange returns the keys of a range at a revision in order, up to the
// limit, and how many there are in all.
func (db *DB) readRange(ctx context.Context, req rangeRequest) (rangeResult, error) {
	tx, head, err := db.read()
	if err != nil {
		return rangeResult{}, err
	}
	defer tx.Rollback()
	if err := db.checkRevision(req.rev, head.rev); err != nil {
		return rangeResult{}, err
	}
	var undo []undone
	if req.rev > 0 && req.rev < head.rev {
		if undo, err = db.undo(req.keys, req.rev, head.rev); err != nil {
			return rangeResult{}, err
		}
	}
	res := rangeResult{rev: head.rev, count: int64(head.view.countRange(req.keys))}
	for _, u := range undo {
		if u.was != nil {
			res.count++
		}
		if head.view.get(u.key) != nil {
			res.count--
		}
	}
	if req.countOnly {
		return res, nil
	}
	n := res.count
	if req.limit > 0 {
		n = min(n, req.limit)
	}
	res.kvs = make([]*mvccpb.KeyValue, 0, n)
	res.more = n < res.count

	values := valueCursor{bucket: tx.Bucket(bucketKeys)}
	emit := func(e *entry) bool {
		if int64(len(res.kvs)) == n {
			return false
		}
		kv := e.keyValue()
		switch {
		case req.keysOnly:
			kv.Value = nil
		case !e.resident():
			if kv.Value, err = values.get(e); err != nil {
				return false
			}
		}
		res.kvs = append(res.kvs, kv)
		return len(res.kvs)%1024 != 0 || ctx.Err() == nil
	}
	ascendUndone(head.view, req.keys, undo, emit)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return rangeResult{}, err
	}
	return res, nil
}

// valueCursor reads the values of ascending keys.
type valueCursor struct {
	bucket *bolt.Bucket
	cursor *bolt.Cursor
	// arena is where values are copied to: one allocation for many.
	arena []byte
}

const arenaBytes = 64 << 10

func (c *valueCursor) get(e *entry) ([]byte, error) {
	var k, v []byte
	if c.cursor == nil {
		c.cursor = c.bucket.Cursor()
		k, v = c.cursor.Seek([]byte(e.key))
	} else if k, v = c.cursor.Next(); string(k) != e.key {
		k, v = c.cursor.Seek([]byte(e.key))
	}
	if string(k) != e.key {
		return nil, corrupt("key %q is missing in the checkpoint", e.key)
	}
	stored, err := decodeStored(k, v)
	if err != nil {
		return nil, err
	}
	if stored.mod != e.mod {
		return nil, corrupt("key %q has revision %d in the checkpoint, %d in the index", e.key, stored.mod, e.mod)
	}
	n := len(stored.value)
	if n > cap(c.arena)-len(c.arena) {
		if n >= arenaBytes/4 {
			return bytes.Clone(stored.value), nil
		}
		c.arena = make([]byte, 0, arenaBytes)
	}
	at := len(c.arena)
	c.arena = append(c.arena, stored.value...)
	return c.arena[at:len(c.arena):len(c.arena)], nil
}

// undone is what a key was at an earlier revision, if it has changed since; was
// is nil if it did not exist.
type undone struct {
	key string
	was *entry
}

// undo returns, in order of keys, what has to be taken back in keys to get from
// the revision head to rev.
func (db *DB) undo(keys keyRange, rev, head int64) ([]undone, error) {
	first := map[string]*entry{}
	err := db.events(rev+1, head, func(ev *event) bool {
		if keys.contains(ev.cur.key) {
			if _, seen := first[ev.cur.key]; !seen {
				first[ev.cur.key] = ev.prev
			}
		}
		return true
	})
	if err != nil {
		if db.gone(err, rev) {
			return nil, rpctypes.ErrCompacted
		}
		return nil, err
	}
	list := make([]undone, 0, len(first))
	for key, was := range first {
		list = append(list, undone{key, was})
	}
	slices.SortFunc(list, func(a, b undone) int { return strings.Compare(a.key, b.key) })
	return list, nil
}

// ascendUndone calls fn for the entries of view in keys with undo applied, in
// order of keys, until it returns false.
func ascendUndone(view indexView, keys keyRange, undo []undone, fn func(*entry) bool) {
	more := true
	view.ascend(keys, func(e *entry) bool {
		for len(undo) > 0 && undo[0].key < e.key {
			if undo[0].was != nil {
				if more = fn(undo[0].was); !more {
					return false
				}
			}
			undo = undo[1:]
		}
		if len(undo) > 0 && undo[0].key == e.key {
			was := undo[0].was
			undo = undo[1:]
			if was == nil {
				return true
			}
			more = fn(was)
			return more
		}
		more = fn(e)
		return more
	})
	for more && len(undo) > 0 {
		if undo[0].was != nil {
			more = fn(undo[0].was)
		}
		undo = undo[1:]
	}
}
