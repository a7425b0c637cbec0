// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// CheckReport is what Check found in a store.
type CheckReport struct {
	Dir     string
	Format  int
	StoreID string

	// The checkpoint.
	CheckpointBytes    int64
	CheckpointRevision int64
	CheckpointRecord   uint64
	Contents           Contents

	// The log.
	Segments []SegmentReport
	LogBytes int64
	// LastRecord and Revision are where the store will be when it is opened,
	// CompactRevision where its history will begin.
	LastRecord      uint64
	Revision        int64
	CompactRevision int64
	// TornBytes is the unfinished end that opening the store will cut off.
	TornBytes int64

	// Problems are why the store cannot be trusted; empty if it is sound.
	Problems []string
}

// Contents counts what a checkpoint or a snapshot holds.
type Contents struct {
	Keys, KeyBytes int64
	Leases         int64
	Owners         int64
	Records        int64
	RecordBytes    int64

	// newest is the greatest revision of a key.
	newest int64
}

// SegmentReport is one file of the log.
type SegmentReport struct {
	Name                    string
	Bytes, Used             int64
	FirstRecord, LastRecord uint64
	FirstRevision           int64
	LastRevision            int64
	FirstTime               time.Time
}

// Err is nil if the store is sound.
func (r CheckReport) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return corrupt("%s: %s", r.Dir, strings.Join(r.Problems, "; "))
}

// String is the report for people.
func (r CheckReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store       %s\nid          %s\nformat      %d\n", r.Dir, r.StoreID, r.Format)
	fmt.Fprintf(&b, "revision    %d (history from %d)\n", r.Revision, r.CompactRevision)
	fmt.Fprintf(&b, "checkpoint  %d bytes, revision %d, log record %d\n", r.CheckpointBytes, r.CheckpointRevision, r.CheckpointRecord)
	fmt.Fprintf(&b, "            %s\n", r.Contents)
	fmt.Fprintf(&b, "log         %d segments, %d bytes, last record %d\n", len(r.Segments), r.LogBytes, r.LastRecord)
	for _, s := range r.Segments {
		if s.FirstRecord == 0 {
			fmt.Fprintf(&b, "  %s  %d bytes, unused\n", s.Name, s.Bytes)
			continue
		}
		fmt.Fprintf(&b, "  %s  %d of %d bytes, records %d to %d, revisions %d to %d, from %s\n", s.Name, s.Used, s.Bytes,
			s.FirstRecord, s.LastRecord, s.FirstRevision, s.LastRevision, s.FirstTime.UTC().Format(time.RFC3339))
	}
	if r.TornBytes > 0 {
		fmt.Fprintf(&b, "            an unfinished write at its end will be cut off; it was never acknowledged\n")
	}
	if len(r.Problems) == 0 {
		b.WriteString("sound\n")
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM     %s\n", p)
	}
	return b.String()
}

func (c Contents) String() string {
	return fmt.Sprintf("%d keys (%d bytes), %d leases, %d journal owners with %d records (%d bytes)",
		c.Keys, c.KeyBytes, c.Leases, c.Owners, c.Records, c.RecordBytes)
}

// Check reads a closed store completely and verifies every checksum, the
// structure of the checkpoint, that the log is without a gap, and that it can
// be replayed. It changes nothing. The error says that the store could not be
// looked at; what is wrong with it is in the report.
func Check(ctx context.Context, dir string) (r CheckReport, err error) {
	r.Dir, r.Format = dir, formatVersion
	path := filepath.Join(dir, checkpointName)
	if _, err := os.Stat(path); err != nil {
		return r, fmt.Errorf("there is no store in %s: %w", dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return r, err
	}
	defer lock.release()

	problem := func(err error) {
		r.Problems = append(r.Problems, strings.TrimSuffix(strings.TrimPrefix(err.Error(), ErrCorrupt.Error()+": "), "; "+remedy))
	}
	file, err := openCheckpointReadOnly(path)
	if err != nil {
		problem(err)
		return r, nil
	}
	defer file.close()
	r.CheckpointBytes = file.bytes.Load()
	s, contents, err := verifyCheckpoint(ctx, file)
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	r.Contents, r.StoreID = contents, fmt.Sprintf("%x", s.id)
	r.CheckpointRevision, r.CheckpointRecord, r.Revision = s.rev, s.lsn, s.rev
	if err != nil {
		problem(err)
		return r, nil
	}
	if err := r.checkLog(ctx, file, s.id); err != nil {
		problem(err)
	} else if contents.newest > r.Revision {
		// A checkpoint that was cut short leaves keys that are newer than its
		// state says, but never newer than the log.
		problem(corrupt("the checkpoint has a key of revision %d, the log ends at revision %d", contents.newest, r.Revision))
	}
	return r, ctx.Err()
}

// checkLog replays the log from its very beginning.
func (r *CheckReport) checkLog(ctx context.Context, file *checkpointFile, id storeID) error {
	l := newLoader()
	if err := l.load(file); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(r.Dir, logDirName)); errors.Is(err, os.ErrNotExist) && l.state.lsn == 0 {
		// Restored, and not opened since: it has no log yet.
		r.CompactRevision = l.compact
		return nil
	}
	apply := func(h recordHeader, payload []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if h.lsn <= l.state.lsn {
			_, err := decodeOperation(h, payload)
			return err
		}
		return l.replay(h, payload)
	}
	w, rec, err := openWAL(vfs.OS, filepath.Join(r.Dir, logDirName), id, minSegmentBytes, l.state.lsn, checkAll, klog.Logger{}, apply)
	if err != nil {
		return err
	}
	defer w.close()
	for _, s := range w.segs {
		sr := SegmentReport{Name: filepath.Base(s.path), Bytes: s.size, Used: s.end}
		if s.used() {
			sr.FirstRecord, sr.LastRecord = s.first.lsn, s.lastLSN
			sr.FirstRevision, sr.LastRevision, sr.FirstTime = s.first.rev, s.lastRev, s.first.when()
		}
		r.Segments = append(r.Segments, sr)
		r.LogBytes += s.size
	}
	for _, t := range rec.torn {
		r.TornBytes += t.segment.size - t.off
	}
	r.LastRecord, r.Revision = rec.lastLSN, l.rev
	r.CompactRevision = max(l.compact, l.oldest(w))
	return nil
}

func openCheckpointReadOnly(path string) (*checkpointFile, error) {
	opts := boltOptions()
	opts.ReadOnly, opts.InitialMmapSize = true, 0
	db, err := bolt.Open(path, fileMode, opts)
	if err != nil {
		return nil, fmt.Errorf("opening the checkpoint %s: %w", path, err)
	}
	c := &checkpointFile{path: path, db: db}
	c.measure()
	return c, nil
}

// verifyCheckpoint checks bbolt's own structure and every checksum of ours.
func verifyCheckpoint(ctx context.Context, file *checkpointFile) (s state, c Contents, err error) {
	tx, err := file.begin()
	if err != nil {
		return s, c, err
	}
	defer tx.Rollback()
	if s, err = readState(tx); err != nil {
		return s, c, err
	}
	var structure []error
	for err := range tx.Check() {
		if len(structure) < 10 {
			structure = append(structure, err)
		}
	}
	if len(structure) > 0 {
		return s, c, corrupt("%s: %v", file.path, errors.Join(structure...))
	}
	return s, c, errors.Join(
		eachOf(ctx, tx, bucketKeys, func(k, v []byte) error {
			e, err := decodeStored(k, v)
			if err == nil && (e.create > e.mod || e.version < 1) {
				err = corrupt("key %q has revision %d, created at %d, version %d", k, e.mod, e.create, e.version)
			}
			c.newest = max(c.newest, e.mod)
			c.Keys++
			c.KeyBytes += int64(len(k) + len(v))
			return err
		}),
		eachOf(ctx, tx, bucketLeases, func(k, v []byte) error {
			c.Leases++
			_, err := decodeStoredLease(k, v)
			return err
		}),
		verifyJournal(ctx, tx, &c),
	)
}

func verifyJournal(ctx context.Context, tx *bolt.Tx, c *Contents) error {
	var owner journal.Owner
	return eachOf(ctx, tx, bucketJournal, func(k, v []byte) error {
		r, err := decodeStoredRecord(k, v)
		if err == nil && r.Owner != owner {
			owner = r.Owner
			c.Owners++
		}
		c.Records++
		c.RecordBytes += int64(len(v))
		return err
	})
}

func eachOf(ctx context.Context, tx *bolt.Tx, bucket []byte, fn func(k, v []byte) error) error {
	n := 0
	return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if v == nil {
			return corrupt("%q in bucket %q is a bucket", k, bucket)
		}
		return fn(k, v)
	})
}
