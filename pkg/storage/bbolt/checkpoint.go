// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"safebeam.dev/safebeam/pkg/journal"
)

// A checkpoint folds what has changed since the last one into bbolt, in
// ordinary synced transactions of bounded size. Only the last of them moves the
// state record forward: after a crash in between the log is replayed from the
// old position, and since records carry whole results, applying them again
// changes nothing.
//
// When it is through, the values of what it wrote leave memory (strip), and the
// segments that nothing needs any more are recycled.
type checkpointer struct {
	// mu is held for the length of a checkpoint, a snapshot's beginning and a
	// defragmentation.
	mu        sync.Mutex
	requested chan struct{}
	count     atomic.Int64
}

func (c *checkpointer) init() { c.requested = make(chan struct{}, 1) }

// request asks for a checkpoint soon.
func (c *checkpointer) request() {
	select {
	case c.requested <- struct{}{}:
	default:
	}
}

const (
	// One transaction holds at most this much.
	chunkKeys  = 2000
	chunkBytes = 2 << 20
	// stripChunk is how many entries are stripped at once under the writers'
	// lock: a fraction of a millisecond where they are neighbours, a few where
	// each has a node of its own.
	stripChunk = 4096
)

// runCheckpointer makes checkpoints by time and by size.
func (db *DB) runCheckpointer(ctx context.Context) {
	tick := db.clock.NewTicker(db.opts.CheckpointInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
		case <-db.ckpt.requested:
		}
		if db.failed() != nil {
			return
		}
		if err := db.Checkpoint(ctx); err != nil {
			if ctx.Err() == nil {
				db.logger.Error(err, "Checkpoint failed")
			}
			continue
		}
		db.defragmentIfWorth(ctx)
	}
}

// Checkpoint folds everything that is durable now into bbolt.
func (db *DB) Checkpoint(ctx context.Context) error {
	db.ckpt.mu.Lock()
	defer db.ckpt.mu.Unlock()
	return db.checkpointLocked(ctx)
}

func (db *DB) checkpointLocked(ctx context.Context) error {
	if err := db.failed(); err != nil {
		return err
	}
	p := &db.pub
	p.mu.Lock()
	head, dirty, compact := db.head.Load(), p.dirty, p.compacted.Load()
	if dirty.clean() && p.live.empty() {
		p.mu.Unlock()
		return db.retire(head)
	}
	p.dirty = dirtySet{leases: map[int64]*leaseMeta{}}
	p.frozen, p.live = p.live, newJournalLayer()
	frozen := p.frozen
	p.mu.Unlock()

	slices.Sort(dirty.keys)
	dirty.keys = slices.Compact(dirty.keys)
	next := state{id: db.id, lsn: head.lsn, rev: head.rev, compact: compact, base: db.base}
	if err := db.fold(ctx, head, &dirty, frozen, next); err != nil {
		db.unfreeze(&dirty, frozen)
		return db.checkpointFailed(err)
	}
	p.mu.Lock()
	p.frozen = nil
	p.stored.moved(frozen)
	p.mu.Unlock()
	db.checkpointErr.Store(nil)
	db.ckpt.count.Add(1)
	db.checkpoint.measure()
	db.checkpoint.release()

	db.mu.Lock()
	db.dirtyBytes -= dirty.bytes
	db.broadcastRoom()
	db.mu.Unlock()
	db.strip(dirty.keys, head)
	return db.retire(head)
}

func (d *dirtySet) clean() bool {
	return len(d.keys) == 0 && len(d.leases) == 0 && !d.compacted && d.bytes == 0
}

// unfreeze puts back what a failed checkpoint has not written for good.
func (db *DB) unfreeze(dirty *dirtySet, frozen *journalLayer) {
	p := &db.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty.keys = append(p.dirty.keys, dirty.keys...)
	for id, m := range dirty.leases {
		if _, newer := p.dirty.leases[id]; !newer {
			p.dirty.leases[id] = m
		}
	}
	p.dirty.bytes += dirty.bytes
	p.dirty.compacted = p.dirty.compacted || dirty.compacted
	p.live = stack(p.live, frozen)
	p.frozen = nil
}

// checkpointFailed decides what a failed checkpoint means: a full disk passes,
// anything else does not.
func (db *DB) checkpointFailed(err error) error {
	if isNoSpace(err) {
		err = fmt.Errorf("the disk is full: the checkpoint cannot be written (what is acknowledged is safe in the log): %w", err)
		db.checkpointErr.Store(&err)
		db.roomChanged()
		return err
	}
	if errIsContext(err) {
		return err
	}
	db.fail(fmt.Errorf("writing the checkpoint: %w", err))
	return err
}

// fold writes one checkpoint.
func (db *DB) fold(ctx context.Context, head *snapshot, dirty *dirtySet, frozen *journalLayer, next state) error {
	f := &folder{db: db, ctx: ctx, room: int(min(dirty.bytes, chunkBytes))}
	defer f.abandon()
	for _, key := range dirty.keys {
		e := head.view.get(key)
		switch {
		case e == nil:
			if err := f.do(len(key), func(tx *bolt.Tx) error { return tx.Bucket(bucketKeys).Delete([]byte(key)) }); err != nil {
				return err
			}
		case !e.resident():
			// Replayed by an earlier, unfinished checkpoint.
		default:
			err := f.do(len(key)+len(e.value), func(tx *bolt.Tx) error {
				keys := tx.Bucket(bucketKeys)
				keys.FillPercent = keysFillPercent
				return keys.Put([]byte(key), f.encode(e))
			})
			if err != nil {
				return err
			}
		}
	}
	for id, m := range dirty.leases {
		err := f.do(64, func(tx *bolt.Tx) error {
			if m == nil {
				return tx.Bucket(bucketLeases).Delete(leaseKey(id))
			}
			return tx.Bucket(bucketLeases).Put(leaseKey(id), encodeStoredLease(*m))
		})
		if err != nil {
			return err
		}
	}
	if err := f.journal(frozen); err != nil {
		return err
	}
	err := f.do(64, func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyState, next.encode()) })
	if err != nil {
		return err
	}
	return f.commit()
}

// keysFillPercent is how full pages are split. Checkpoints write in order of
// keys, many at a time: half-empty pages would stay half empty. And three
// objects of 1.1 KB fit into a page only above 0.9.
const keysFillPercent = 0.95

// folder collects changes in transactions of bounded size.
type folder struct {
	db    *DB
	ctx   context.Context
	tx    *bolt.Tx
	keys  int64
	bytes int
	// arena holds the values of tx, which bbolt refers to until its end. room
	// is how large it is made.
	arena []byte
	room  int
}

// encode returns the value of e in bbolt. It is good until the end of the
// transaction.
func (f *folder) encode(e *entry) []byte {
	if need := len(e.value) + maxMeta; cap(f.arena)-len(f.arena) < need {
		f.arena = make([]byte, 0, max(need, f.room))
	}
	at := len(f.arena)
	f.arena = encodeStored(f.arena, e)
	return f.arena[at:len(f.arena):len(f.arena)]
}

func (f *folder) do(size int, fn func(tx *bolt.Tx) error) error {
	if f.keys >= f.db.opts.chunkKeys || f.bytes+size > chunkBytes {
		if err := f.commit(); err != nil {
			return err
		}
	}
	if f.tx == nil {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		if fault := f.db.opts.checkpointFault; fault != nil {
			if err := fault(); err != nil {
				return err
			}
		}
		tx, err := f.db.checkpoint.beginUpdate()
		if err != nil {
			return err
		}
		f.tx = tx
	}
	f.keys++
	f.bytes += size
	return fn(f.tx)
}

func (f *folder) commit() error {
	tx := f.tx
	if tx == nil {
		return nil
	}
	f.tx, f.keys, f.bytes = nil, 0, 0
	f.db.wal.fsyncs.Add(2)
	err := tx.Commit()
	f.arena = f.arena[:0]
	return err
}

func (f *folder) abandon() {
	if f.tx != nil {
		f.tx.Rollback()
	}
}

// journal writes a layer: drops first, as the layer's records came after them.
func (f *folder) journal(l *journalLayer) error {
	roots := make([]journal.Owner, 0, len(l.drops))
	for root := range l.drops {
		roots = append(roots, root)
	}
	slices.Sort(roots)
	for _, root := range roots {
		if err := f.dropJournal(root); err != nil {
			return err
		}
	}
	owners := make([]journal.Owner, 0, len(l.owners))
	for owner := range l.owners {
		owners = append(owners, owner)
	}
	slices.SortFunc(owners, func(a, b journal.Owner) int { return bytes.Compare(journalKey(a, 0), journalKey(b, 0)) })
	for _, owner := range owners {
		for _, r := range l.owners[owner].records {
			err := f.do(len(owner)+len(r.Data)+16, func(tx *bolt.Tx) error {
				records := tx.Bucket(bucketJournal)
				records.FillPercent = keysFillPercent
				return records.Put(journalKey(owner, r.Number), encodeStoredRecord(owner, r))
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropJournal removes the records of root and of every owner below it.
func (f *folder) dropJournal(root journal.Owner) error {
	for _, prefix := range [][]byte{journalPrefix(root), []byte(root + "/")} {
		for more := true; more; {
			err := f.do(64, func(tx *bolt.Tx) error {
				c := tx.Bucket(bucketJournal).Cursor()
				k, _ := c.Seek(prefix)
				n, most := int64(0), f.db.opts.chunkKeys
				for ; k != nil && bytes.HasPrefix(k, prefix) && n < most; n++ {
					if err := c.Delete(); err != nil {
						return err
					}
					f.keys++
					k, _ = c.Seek(prefix)
				}
				more = n == most
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// strip takes the values of keys, which the checkpoint of head has written, out
// of memory. All that it can it does before it takes the writers' lock, and it
// gives way after each chunk: who releases a lock and takes it again at once has
// it back before those who wait for it are awake, and all writers would stand
// until the last key is done.
func (db *DB) strip(keys []string, head *snapshot) {
	for chunk := range slices.Chunk(keys, stripChunk) {
		full, bare := withoutValues(head.view, chunk)
		db.mu.Lock()
		db.stripped = max(db.stripped, head.rev)
		db.idx.swap(full, bare) // but for what was written again meanwhile
		db.mu.Unlock()
		runtime.Gosched()
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.unsettled) == 0 && db.failed() == nil {
		// No commit is under way that would publish this.
		db.publishIdle()
	}
}

// withoutValues returns the entries of keys that have values in memory, and the
// same ones without.
func withoutValues(view indexView, keys []string) (full, bare []*entry) {
	for _, key := range keys {
		if e := view.get(key); e != nil && e.resident() {
			b := *e
			b.value = nil
			full, bare = append(full, e), append(bare, &b)
		}
	}
	return full, bare
}

// publishIdle makes the staged state the head: they differ only in where values
// lie. Call with mu held while nothing is staged.
func (db *DB) publishIdle() {
	db.pub.mu.Lock()
	defer db.pub.mu.Unlock()
	db.head.Store(&snapshot{view: db.idx.seal(), rev: db.rev, lsn: db.lsn, stripped: db.stripped})
}

// retire recycles the segments that neither recovery nor history needs.
func (db *DB) retire(head *snapshot) error {
	compact := db.CompactRevision()
	if compact == 0 {
		return nil
	}
	db.wal.retire(head.lsn, compact)
	return nil
}

// journalPrefix begins the keys of one owner's records in bbolt.
func journalPrefix(owner journal.Owner) []byte { return append([]byte(owner), 0) }

func journalKey(owner journal.Owner, number int64) []byte {
	return binary.BigEndian.AppendUint64(journalPrefix(owner), uint64(number))
}
