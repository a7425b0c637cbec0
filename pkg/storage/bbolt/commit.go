// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// commit commits the oldest batch in the calling goroutine, which holds the
// committer's role (db.flushing), and passes the role on. A lone writer thus
// syncs in its own goroutine; under load the flusher does.
func (db *DB) commit() {
	db.commitOne()
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.unsettled) == 0 {
		db.flushing = false
		return
	}
	db.wakeFlusher()
}

// stageDelay is how long records that nobody waits for may wait for a commit
// to ride with. What is staged ahead of an object's write rides with that, and
// both cost one sync.
const stageDelay = 10 * time.Millisecond

// commitSoon sees to it that what is staged is committed after a while. Call
// with mu held.
func (db *DB) commitSoon() {
	if !db.soon {
		db.soon = true
		time.AfterFunc(stageDelay, db.commitNow)
	}
}

// commitNow has the flusher commit what is staged, unless somebody is at it.
func (db *DB) commitNow() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.soon = false
	if !db.flushing && len(db.unsettled) > 0 {
		db.flushing = true
		db.wakeFlusher()
	}
}

func (db *DB) wakeFlusher() {
	select {
	case db.flushC <- struct{}{}:
	default:
	}
}

// runFlusher commits while there is anything to commit.
func (db *DB) runFlusher(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.flushC:
		}
		for db.commitOne() {
			db.gather()
		}
	}
}

// gather lets the writers that have just been answered run before the next
// batch is closed: each of them is about to write again, and on a busy machine
// they wait for a processor behind the committer. It gives way once and waits
// for nobody; with a processor to spare it costs nothing.
//
// Where a sync takes long, it waits until as many have staged as were answered,
// or half a sync. Writers would else fall into two halves, each of which waits for
// the other's sync before its own: half the writes for each sync, and twice the
// time for each write. A lone writer never waits. Who has the committer's role
// calls it.
func (db *DB) gather() {
	if db.lastGroup <= 1 {
		return
	}
	if db.lastSync < slowSync {
		runtime.Gosched()
		return
	}
	deadline := time.NewTimer(min(db.lastSync/2, db.opts.maxGather))
	defer deadline.Stop()
	select {
	case <-db.gatheredC:
	case <-deadline.C:
	}
	db.mu.Lock()
	db.awaited = 0
	db.mu.Unlock()
}

// await has gather wait for as many records as a commit has just settled. Call
// with mu held, before its writers are let go.
func (db *DB) await(b *batch) {
	if b.count <= 1 || db.lastSync < slowSync {
		return
	}
	select {
	case <-db.gatheredC: // from a commit that nobody gathered after
	default:
	}
	db.awaited = b.count
}

// came says that a record was staged. Call with mu held.
func (db *DB) came() {
	if db.awaited == 0 {
		return
	}
	if db.awaited--; db.awaited == 0 {
		db.gatheredC <- struct{}{}
	}
}

// slowSync is the sync from which on it pays to wait for company; maxGather
// bounds that wait.
const (
	slowSync  = time.Millisecond
	maxGather = 2 * time.Millisecond
)

// maxPace is how long a commit waits for checkpoints that have all but no room
// left behind them.
const maxPace = 5 * time.Millisecond

// pace is how long the next commit is held back while checkpoints do not keep
// up with the log: not at all up to half of what may await them, and then the
// longer the less room is left. Writers slow down to what the disk takes, all of
// them a little, where they would else run at full speed into a wall and stand
// before it until a checkpoint is through. Call with mu held.
func (db *DB) pace() time.Duration {
	free := db.opts.MaxDirtyBytes / 2
	return time.Duration(float64(maxPace) * float64(max(db.dirtyBytes-free, 0)) / float64(free))
}

// commitOne commits the oldest batch. It returns false, and the role is free,
// if there is none.
func (db *DB) commitOne() bool {
	db.mu.Lock()
	if pause := db.pace(); pause > 0 && len(db.unsettled) > 0 && !db.closed {
		db.mu.Unlock()
		time.Sleep(pause)
		db.mu.Lock()
	}
	if len(db.sealed) == 0 {
		db.seal()
	}
	if len(db.sealed) == 0 {
		db.flushing = false
		db.mu.Unlock()
		return false
	}
	b := db.sealed[0]
	db.sealed = db.sealed[1:]
	db.inflight = b
	db.lastGroup = b.count
	db.mu.Unlock()

	err := db.write(b)
	if err == nil {
		db.pub.publish(b)
	}
	db.mu.Lock()
	db.inflight = nil
	if err == nil {
		db.unsettled = db.unsettled[1:]
		db.broadcastRoom()
		db.await(b)
	}
	db.mu.Unlock()
	if err != nil {
		db.fail(fmt.Errorf("writing the log: %w", err))
		return true
	}
	close(b.done)
	db.pub.wake(b)
	putBuffer(b.buf)
	b.buf = nil
	return true
}

// write makes the batch durable. Whole pages are written, so that the kernel
// never has to read one first.
func (db *DB) write(b *batch) error {
	start := time.Now()
	records := len(b.buf) - pageSize
	end := b.off + int64(records)
	lead := int(b.off % pageSize)
	copy(b.buf[pageSize-lead:pageSize], db.tail[:lead])
	if rest := int(end % pageSize); rest != 0 {
		b.buf = append(b.buf, zeros[:pageSize-rest]...)
	}
	page := b.buf[pageSize-lead:]
	if n, err := b.segment.file.WriteAt(page, b.off-int64(lead)); err != nil {
		return err
	} else if n < len(page) {
		return fmt.Errorf("wrote %d of %d bytes", n, len(page))
	}
	copied := time.Now()
	if err := db.wal.sync(b.segment.file); err != nil {
		return err
	}
	db.lastSync = time.Since(copied)
	if rest := int(end % pageSize); rest != 0 {
		copy(db.tail[:], page[len(page)-pageSize:])
	}
	db.wal.committed(b.segment, b.first, b.lsn, b.rev, b.off, end)
	db.metrics.committed(b, copied.Sub(start), db.lastSync)
	return nil
}

// fail ends all writing. What is staged and not durable is answered with the
// error; whether it reached the disk is unknown, and a sync that failed once
// proves nothing when it succeeds later.
func (db *DB) fail(err error) {
	err = fmt.Errorf("%w: the store takes no more writes; restart the process after the cause is removed", err)
	if db.failure.CompareAndSwap(nil, &err) {
		db.logger.Error(err, "The store has failed")
	}
	db.mu.Lock()
	failed := db.unsettled
	db.unsettled, db.sealed, db.open = nil, nil, nil
	if db.inflight != nil {
		// The committer is at it and will say what became of it.
		db.unsettled, failed = failed[:1:1], failed[1:]
	}
	db.broadcastRoom()
	db.mu.Unlock()
	for _, b := range failed {
		b.err = db.failed()
		close(b.done)
	}
}

// failed returns the error that ended all writing, nil if there is none.
func (db *DB) failed() error {
	if err := db.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Buffers of batches are used again; a page in front is left for the page that
// the log ends in.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func takeBuffer() []byte {
	b := *buffers.Get().(*[]byte)
	if cap(b) < pageSize {
		b = make([]byte, pageSize, 16*pageSize)
	}
	return b[:pageSize]
}

func putBuffer(b []byte) {
	if cap(b) <= maxBatchBytes/4 {
		buffers.Put(&b)
	}
}
