// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// DefragReport says what a defragmentation gained.
type DefragReport struct {
	Before, After int64
	Took          time.Duration
}

func (r DefragReport) String() string {
	return fmt.Sprintf("defragmented: %d bytes, before %d, in %s", r.After, r.Before, r.Took.Round(time.Millisecond))
}

// ErrBusy says that a defragmentation gave way to writers.
var ErrBusy = errors.New("the store is too busy to be defragmented: the log that awaits a checkpoint has grown too long; try again when there are fewer writes")

const (
	// defragChunk is what is copied at once: a commit may have to wait for the
	// sync of one chunk.
	defragChunk = 1 << 20
	// Checkpoints tell when to defragment by themselves: a file of some size
	// of which more than half is free. Copying the other half of a file of this
	// size takes a fraction of a second.
	defragMinBytes = 64 << 20
)

// Defragment replaces the checkpoint file by a compact copy, online. Writers
// and readers go on: the log takes the writes and only checkpoints wait. If the
// log grows too long meanwhile, it gives up with ErrBusy and leaves everything
// as it was.
func (db *DB) Defragment(ctx context.Context) (r DefragReport, err error) {
	db.ckpt.mu.Lock()
	defer db.ckpt.mu.Unlock()
	if err := db.failed(); err != nil {
		return r, err
	}
	return db.defragmentLocked(ctx)
}

func (db *DB) defragmentLocked(ctx context.Context) (r DefragReport, err error) {
	start := time.Now()
	c := db.checkpoint
	r.Before = c.bytes.Load()
	tmp := c.path + ".tmp"
	defer os.Remove(tmp)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	if err := db.copyCheckpoint(ctx, tmp); err != nil {
		return r, err
	}
	if err := renameDurably(tmp, c.path); err != nil {
		return r, err
	}
	fresh, err := bolt.Open(c.path, fileMode, boltOptions())
	if err != nil {
		// The old file has no name any more: go on with it would lose what it
		// is told from now on.
		db.fail(fmt.Errorf("opening the defragmented checkpoint: %w", err))
		return r, err
	}
	c.mu.Lock()
	old := c.db
	c.db = fresh
	c.mu.Unlock()
	c.measure()
	// Closing waits for the readers that are still on the old file.
	db.done.Go(func() {
		if err := old.Close(); err != nil {
			db.logger.Error(err, "Cannot close the checkpoint file from before a defragmentation")
		}
	})
	r.After, r.Took = c.bytes.Load(), time.Since(start)
	return r, nil
}

// copyCheckpoint writes a compact copy of the checkpoint to path, synced.
func (db *DB) copyCheckpoint(ctx context.Context, path string) error {
	opts := boltOptions()
	opts.InitialMmapSize = 0
	dst, err := bolt.Open(path, fileMode, opts)
	if err != nil {
		return err
	}
	err = db.copyBuckets(ctx, dst)
	if closeErr := dst.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (db *DB) copyBuckets(ctx context.Context, dst *bolt.DB) error {
	src, err := db.checkpoint.begin()
	if err != nil {
		return db.readError(err)
	}
	defer src.Rollback()
	for _, name := range [][]byte{bucketMeta, bucketKeys, bucketLeases, bucketJournal} {
		cursor := src.Bucket(name).Cursor()
		k, v := cursor.First()
		for first := true; first || k != nil; first = false {
			if err := ctx.Err(); err != nil {
				return err
			}
			if db.crowded() {
				return ErrBusy
			}
			err := dst.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists(name)
				if err != nil {
					return err
				}
				b.FillPercent = defragFillPercent
				for size := 0; k != nil && size < defragChunk; k, v = cursor.Next() {
					if err := b.Put(k, v); err != nil {
						return err
					}
					size += len(k) + len(v)
				}
				return nil
			})
			if err != nil {
				return err
			}
			db.wal.fsyncs.Add(2)
		}
	}
	return nil
}

const defragFillPercent = 0.95

// crowded reports whether the log that awaits a checkpoint is about to hold up
// the writers.
func (db *DB) crowded() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.dirtyBytes > db.opts.MaxDirtyBytes/4*3
}

// defragmentIfWorth defragments a file that is more than half empty.
func (db *DB) defragmentIfWorth(ctx context.Context) {
	c := db.checkpoint
	c.mu.RLock()
	stats := c.db.Stats()
	c.mu.RUnlock()
	size := c.bytes.Load()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(os.Getpagesize())
	if size < defragMinBytes || free < size/2 {
		return
	}
	r, err := db.Defragment(ctx)
	if err != nil {
		if ctx.Err() == nil {
			db.logger.Info("Not defragmented", "reason", err.Error())
		}
		return
	}
	db.logger.Info("Defragmented the checkpoint", "before", r.Before, "after", r.After, "took", r.Took)
}

// Defrag defragments the closed store in dir.
func Defrag(ctx context.Context, dir string) (r DefragReport, err error) {
	err = withStore(dir, func(db *DB) (err error) {
		r, err = db.Defragment(ctx)
		return err
	})
	return r, err
}
