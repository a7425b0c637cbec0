// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const logDirName = "log"

// snapshot is a durable state of the store that readers use without a lock.
type snapshot struct {
	view indexView
	rev  int64
	lsn  uint64
	// stripped is the greatest revision of an entry in view whose value may
	// lie in bbolt alone.
	stripped int64
}

// DB is an open store.
type DB struct {
	opts   Options
	logger klog.Logger
	clock  clock.WithTicker

	lock       *dirLock
	checkpoint *checkpointFile
	wal        *wal
	id         storeID
	base       int64

	// mu guards the staged state: what writers have written so far, durable or
	// not. See stage.go.
	mu         sync.Mutex
	idx        *index
	rev        int64
	lsn        uint64
	stripped   int64
	leases     leaseTable
	segment    *segment
	offset     int64
	open       *batch
	sealed     []*batch
	unsettled  []*batch
	inflight   *batch
	flushing   bool
	lastGroup  int           // how many records the last commit had
	lastSync   time.Duration // how long its sync took
	awaited    int           // how many records gather waits for
	soon       bool          // a commit is due after stageDelay
	closed     bool
	dirtyBytes int64
	// roomC is closed when something a writer may wait for has changed; nil
	// while none waits.
	roomC chan struct{}

	// head is the durable state. It changes under pub, together with the
	// queues of the watchers.
	head    atomic.Pointer[snapshot]
	durable atomic.Uint64
	pub     publisher

	// tail is the committer's copy of the page that the log ends in.
	tail   [pageSize]byte
	flushC chan struct{}
	// gatheredC has an item once they have come.
	gatheredC chan struct{}
	ckpt      checkpointer
	expiryC   chan struct{}
	metrics   metrics

	// failure ends all writing for good. The other two pass: no room for the
	// next log segment, none for the checkpoint.
	failure       atomic.Pointer[error]
	segmentErr    atomic.Pointer[error]
	checkpointErr atomic.Pointer[error]

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Open opens the store in opts.Dir, makes it if there is none, and replays the
// log onto the last checkpoint. It refuses a directory that another process has
// open (ErrLocked), a newer format, and files that no crash can have left behind
// (ErrCorrupt).
func Open(opts Options) (_ *DB, err error) {
	if opts.Dir == "" {
		return nil, errors.New("a store needs a data directory")
	}
	opts = opts.withDefaults()
	db := &DB{
		opts: opts, logger: *opts.Logger, clock: opts.Clock,
		flushC: make(chan struct{}, 1), gatheredC: make(chan struct{}, 1), expiryC: make(chan struct{}, 1),
	}
	db.ckpt.init()
	db.metrics.init()
	if err := db.openFiles(); err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", opts.Dir, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	db.cancel = cancel
	for _, run := range []func(context.Context){
		db.wal.run, db.runFlusher, db.runCheckpointer, db.runCompactor, db.runExpiry, db.runProgress,
	} {
		db.done.Go(func() { run(ctx) })
	}
	return db, nil
}

func (db *DB) openFiles() (err error) {
	dir := db.opts.Dir
	logDir := filepath.Join(dir, logDirName)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	if db.lock, err = lockDir(dir); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		if db.wal != nil {
			db.wal.close()
		}
		if db.checkpoint != nil {
			db.checkpoint.close()
		}
		db.lock.release()
	}()
	if err := db.opts.FS.MkdirAll(logDir, dirMode); err != nil {
		return err
	}
	path := filepath.Join(dir, checkpointName)
	if err := db.createIfMissing(path, logDir); err != nil {
		return err
	}
	if db.checkpoint, err = openCheckpoint(path, db.opts.noSync); err != nil {
		return err
	}
	return db.recover(logDir)
}

// createIfMissing makes the checkpoint file of a new store. A log without one
// is not a new store.
func (db *DB) createIfMissing(path, logDir string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	names, err := db.opts.FS.ReadDir(logDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := parseSegmentName(name); ok {
			return corrupt("%s is missing, but there is a log in %s", path, logDir)
		}
	}
	// The revision begins at 1: 0 is no legal resource version.
	s := state{rev: 1, base: 1}
	if _, err := rand.Read(s.id[:]); err != nil {
		return err
	}
	if err := createCheckpoint(path, s); err != nil {
		return err
	}
	if err := db.opts.FS.SyncDir(db.opts.Dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(db.opts.Dir))
}

// recover loads the checkpoint, replays the log and publishes the result.
func (db *DB) recover(logDir string) error {
	l := newLoader()
	if err := l.load(db.checkpoint); err != nil {
		return err
	}
	w, rec, err := openWAL(db.opts.FS, logDir, l.state.id, db.opts.SegmentBytes, l.state.lsn, recoverTail, db.logger, l.replay)
	if err != nil {
		return err
	}
	w.prepared = db.segmentPrepared
	db.wal, db.id, db.base = w, l.state.id, l.state.base
	if err := db.confirmCheckpoint(l.state); err != nil {
		return err
	}
	if rec.replayed > 0 {
		db.logger.Info("Replayed the log", "records", rec.replayed, "revision", l.rev)
	}

	db.idx, db.rev, db.lsn, db.leases = l.idx, l.rev, rec.lastLSN, l.leases
	db.stripped = l.state.rev
	db.dirtyBytes = l.bytes
	db.segment = w.active()
	db.offset = db.segment.end
	if err := db.loadTail(); err != nil {
		return err
	}
	db.pub.init(db, l)
	db.head.Store(&snapshot{view: db.idx.seal(), rev: db.rev, lsn: db.lsn, stripped: db.stripped})
	db.durable.Store(db.lsn)
	return nil
}

// confirmCheckpoint writes the state record again, in a synced transaction: what
// was read of the file may never have reached the medium, but segments of the
// log are recycled on the strength of it.
func (db *DB) confirmCheckpoint(s state) error {
	tx, err := db.checkpoint.beginUpdate()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := tx.Bucket(bucketMeta).Put(keyState, s.encode()); err != nil {
		return err
	}
	return tx.Commit()
}

// loadTail reads the page that the log ends in.
func (db *DB) loadTail() error {
	n := db.offset % pageSize
	if n == 0 {
		return nil
	}
	if _, err := db.segment.file.ReadAt(db.tail[:n], db.offset-n); err != nil {
		return fmt.Errorf("log segment %s: %w", db.segment.path, err)
	}
	return nil
}

// Close waits for what is staged to become durable, makes a last checkpoint,
// ends all watches and gives up the directory. Later calls fail with ErrClosed.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.closed = true
	var last *batch
	if n := len(db.unsettled); n > 0 {
		last = db.unsettled[n-1]
	}
	db.broadcastRoom()
	db.mu.Unlock()
	if last != nil {
		db.commitNow()
		<-last.done
	}
	var err error
	if db.failed() == nil {
		err = db.Checkpoint(context.Background())
	}
	return errors.Join(err, db.shutdown())
}

// shutdown ends the goroutines and closes the files as they are.
func (db *DB) shutdown() error {
	db.cancel()
	db.pub.close()
	db.done.Wait()
	db.wal.close()
	return errors.Join(db.checkpoint.close(), db.lock.release())
}

// Ready returns nil as long as the store can make writes durable. After a
// failed write or sync it never does again: the process has to be restarted.
// A full disk passes when there is room again.
func (db *DB) Ready() error {
	for _, p := range []*atomic.Pointer[error]{&db.failure, &db.segmentErr, &db.checkpointErr} {
		if err := p.Load(); err != nil {
			return *err
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return ErrClosed
	}
	return nil
}

// Revision returns the current revision: at least that of every write that was
// acknowledged before the call.
func (db *DB) Revision() int64 { return db.head.Load().rev }

// CompactRevision returns the revision up to which history is gone, 0 if none
// is. It is what k8s.io/apiserver's etcd3 store asks its compactor for.
func (db *DB) CompactRevision() int64 { return db.pub.compacted.Load() }

// segmentPrepared takes note of a next log segment, or of the lack of one.
func (db *DB) segmentPrepared(err error) {
	if err == nil {
		db.segmentErr.Store(nil)
	} else {
		err = fmt.Errorf("no next log segment: %w", err)
		db.segmentErr.Store(&err)
	}
	db.roomChanged()
}

// diskBytes is what the store takes on disk.
func (db *DB) diskBytes() int64 { return db.wal.bytes() + db.checkpoint.bytes.Load() }
