// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"safebeam.dev/safebeam/pkg/journal"
)

// The commit pipeline.
//
// A writer *stages*: under db.mu it looks at the staged state, decides, encodes
// a record into the open batch and changes the staged state. It then waits for
// that batch. One goroutine at a time *commits*: it takes the oldest batch,
// writes and syncs it, publishes it and lets its waiters go. There is no timer:
// what is staged during a sync is the next batch.
//
// Nothing that follows from the staged state leaves before that state is
// durable: a conflict, an "already exists" and a no-op wait like a write does.
// The one exception asks for it and settles later: see session.go.

// batch is one group commit: records that lie in one segment back to back.
type batch struct {
	segment *segment
	off     int64
	// buf begins with a page for the head of the page that the records begin
	// in, which is written again.
	buf   []byte
	first recordHeader
	time  int64
	// count and bytes are those of the records.
	count int
	bytes int64

	// What publishing it changes.
	events  []*event
	journal []journalChange
	leases  []leaseChange
	compact int64
	// layer is the journal part, for writers that come before it is published.
	layer *journalLayer

	// Set when it is sealed: the state as of its end.
	view     indexView
	rev      int64
	lsn      uint64
	stripped int64

	// done is closed when the batch is durable and published, or failed.
	done chan struct{}
	err  error
}

const (
	// maxBatchBytes bounds one write of the log.
	maxBatchBytes = 4 << 20
	// maxStagedBatches bounds what is staged and not durable.
	maxStagedBatches = 4
)

// wait returns when the batch is durable. An error of ctx says nothing about
// the write: it may become durable yet.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	default:
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writable says why nothing can be staged now. Call with mu held.
func (db *DB) writable() error {
	if err := db.failed(); err != nil {
		return err
	}
	if db.closed {
		return ErrClosed
	}
	return nil
}

// stage calls decide under mu until it has found room for its record. decide
// looks at the staged state and returns the most bytes its payload may take, or
// 0 if it has nothing to write; then write appends the payload and changes the
// staged state. The batch is nil if nothing was written.
//
// lead says that the caller has to commit: db.commit. With later nobody has to
// for a moment: the next commit takes the record along, or one that is begun
// when stageDelay is over or somebody waits for it.
func (db *DB) stage(ctx context.Context, grows, later bool, decide func() (size int, err error), write func(b *batch)) (b *batch, lead bool, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for {
		if err := db.writable(); err != nil {
			return nil, false, err
		}
		size, err := decide()
		if err != nil || size == 0 {
			return nil, false, err
		}
		b, err := db.reserve(recordSize(size), grows)
		if err != nil {
			return nil, false, err
		}
		if b == nil {
			if err := db.awaitRoom(ctx); err != nil {
				return nil, false, err
			}
			continue
		}
		write(b)
		if db.flushing {
			return b, false, nil
		}
		if later {
			db.commitSoon()
			return b, false, nil
		}
		db.flushing = true
		lead = true
		return b, lead, nil
	}
}

// record appends one record to b: payload appends the payload, rev is the
// revision after it. Call with mu held, after reserve.
func (db *DB) record(b *batch, typ recordType, rev int64, payload func([]byte) []byte) {
	db.lsn++
	h := recordHeader{stamp: b.segment.stamp, typ: typ, lsn: db.lsn, rev: rev, time: b.time}
	if b.first.lsn == 0 {
		h.flags = flagBatch
		b.first = h
	}
	before := len(b.buf)
	buf, at := beginRecord(b.buf)
	b.buf = endRecord(payload(buf), at, h)
	n := int64(len(b.buf) - before)
	b.count++
	db.came()
	b.bytes += n
	db.offset += n
	db.dirtyBytes += n
	db.rev = rev
}

// reserve returns the open batch with room for size bytes, nil if there is no
// room now.
func (db *DB) reserve(size int, grows bool) (*batch, error) {
	if grows && db.opts.MaxBytes > 0 && db.diskBytes()+int64(size) > db.opts.MaxBytes {
		return nil, rpctypes.ErrNoSpace
	}
	if db.dirtyBytes+int64(size) > db.opts.MaxDirtyBytes {
		db.ckpt.request()
		if err := db.checkpointErr.Load(); err != nil {
			return nil, fmt.Errorf("%w: %v", rpctypes.ErrNoSpace, *err)
		}
		return nil, nil
	}
	if db.open != nil && len(db.open.buf)+size > maxBatchBytes {
		db.seal()
	}
	if db.open == nil && len(db.unsettled) >= maxStagedBatches {
		return nil, nil
	}
	if db.offset+int64(size) > db.segment.size {
		next, err := db.wal.takeNext(int64(size))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", rpctypes.ErrNoSpace, err)
		}
		if next == nil {
			return nil, nil
		}
		db.seal()
		db.segment, db.offset = next, segmentHeaderSize
	}
	if db.open == nil {
		db.open = &batch{
			segment: db.segment, off: db.offset, buf: takeBuffer(), time: db.clock.Now().UnixNano(),
			layer: newJournalLayer(), done: make(chan struct{}),
		}
		db.unsettled = append(db.unsettled, db.open)
	}
	return db.open, nil
}

// seal closes the open batch: it will not grow any more.
func (db *DB) seal() {
	b := db.open
	if b == nil {
		return
	}
	db.open = nil
	b.view, b.rev, b.lsn, b.stripped = db.idx.seal(), db.rev, db.lsn, db.stripped
	db.sealed = append(db.sealed, b)
}

func (db *DB) awaitRoom(ctx context.Context) error {
	if db.roomC == nil {
		db.roomC = make(chan struct{})
	}
	c := db.roomC
	db.mu.Unlock()
	defer db.mu.Lock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// broadcastRoom wakes the writers that wait for room. Call with mu held.
func (db *DB) broadcastRoom() {
	if db.roomC != nil {
		close(db.roomC)
		db.roomC = nil
	}
}

func (db *DB) roomChanged() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.broadcastRoom()
}

// writeThrough stages and waits: the common way of a write.
func (db *DB) writeThrough(ctx context.Context, grows bool, decide func() (int, error), write func(b *batch)) error {
	b, lead, err := db.stage(ctx, grows, false, decide, write)
	if err != nil || b == nil {
		return err
	}
	if lead {
		db.commit()
	}
	return b.wait(ctx)
}

// settle waits until the staged state with revision rev is durable.
func (db *DB) settle(ctx context.Context, rev int64) error {
	if db.head.Load().rev >= rev {
		return nil
	}
	db.mu.Lock()
	var until *batch
	for _, b := range db.unsettled {
		until = b
		if b.lsn != 0 && b.rev >= rev {
			break
		}
	}
	db.mu.Unlock()
	if until == nil {
		if db.head.Load().rev < rev {
			return db.failed()
		}
		return nil
	}
	return until.wait(ctx)
}

// stagedHas reports whether the journal holds the record in the staged state.
// Call with mu held; the lower part is bbolt's answer of before.
func (db *DB) stagedHas(r journal.Record) (has, decided bool) {
	for i := len(db.unsettled) - 1; i >= 0; i-- {
		l := db.unsettled[i].layer
		if l.has(r.Owner, r.Number) {
			return true, true
		}
		if l.covers(r.Owner) {
			return false, true
		}
	}
	return db.pub.journalHas(r)
}
