// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// A snapshot is a checkpoint file followed by a trailer: magic, version, the
// SHA-256 of everything before the trailer.
const (
	snapshotMagic   = "sbeamsnp"
	snapshotVersion = 1
	trailerSize     = 8 + 4 + sha256.Size
)

// MinBump is the least by which a restore raises the revision: more than the
// old store can have gone on after the snapshot was taken.
const MinBump = 1 << 32

// SnapshotReport says what a snapshot holds.
type SnapshotReport struct {
	StoreID  string
	Revision int64
	Bytes    int64
	SHA256   string
}

func (r SnapshotReport) String() string {
	return fmt.Sprintf("snapshot of store %s at revision %d: %d bytes, sha256 %s", r.StoreID, r.Revision, r.Bytes, r.SHA256)
}

// Snapshot writes the state of the store, as of a checkpoint that it makes
// first, to w. Writers go on meanwhile; the pages that the snapshot needs stay
// in the checkpoint file until it is through.
func (db *DB) Snapshot(ctx context.Context, w io.Writer) (r SnapshotReport, err error) {
	tx, err := db.beginSnapshot(ctx)
	if err != nil {
		return r, err
	}
	defer tx.Rollback()
	s, err := readState(tx)
	if err != nil {
		return r, err
	}
	sum := sha256.New()
	out := io.MultiWriter(&guardedWriter{ctx: ctx, db: db, w: w}, sum)
	n, err := tx.WriteTo(out)
	if err != nil {
		return r, fmt.Errorf("writing the snapshot: %w", err)
	}
	trailer := make([]byte, 0, trailerSize)
	trailer = append(trailer, snapshotMagic...)
	trailer = binary.LittleEndian.AppendUint32(trailer, snapshotVersion)
	trailer = sum.Sum(trailer)
	if _, err := w.Write(trailer); err != nil {
		return r, fmt.Errorf("writing the snapshot: %w", err)
	}
	return SnapshotReport{
		StoreID: fmt.Sprintf("%x", s.id), Revision: s.rev, Bytes: n + trailerSize, SHA256: fmt.Sprintf("%x", sum.Sum(nil)),
	}, nil
}

// beginSnapshot returns a transaction of a finished checkpoint.
func (db *DB) beginSnapshot(ctx context.Context) (*bolt.Tx, error) {
	db.ckpt.mu.Lock()
	defer db.ckpt.mu.Unlock()
	if err := db.checkpointLocked(ctx); err != nil {
		return nil, err
	}
	tx, err := db.checkpoint.begin()
	if err != nil {
		return nil, db.readError(err)
	}
	return tx, nil
}

// guardedWriter fails when the context ends or the store closes, so that a slow
// receiver cannot hold up either.
type guardedWriter struct {
	ctx context.Context
	db  *DB
	w   io.Writer
}

func (g *guardedWriter) Write(b []byte) (int, error) {
	select {
	case <-g.ctx.Done():
		return 0, g.ctx.Err()
	case <-g.db.pub.done:
		return 0, ErrClosed
	default:
		return g.w.Write(b)
	}
}

// Snapshot writes a snapshot of the closed store in dir. It opens the store,
// which replays the log.
func Snapshot(ctx context.Context, dir string, w io.Writer) (r SnapshotReport, err error) {
	err = withStore(dir, func(db *DB) (err error) {
		r, err = db.Snapshot(ctx, w)
		return err
	})
	return r, err
}

// withStore opens an existing store for the length of fn.
func withStore(dir string, fn func(*DB) error) error {
	if _, err := os.Stat(filepath.Join(dir, checkpointName)); err != nil {
		return fmt.Errorf("there is no store in %s: %w", dir, err)
	}
	db, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	return errors.Join(fn(db), db.Close())
}

// RestoreReport says what Restore has made.
type RestoreReport struct {
	Dir string
	// SnapshotRevision is that of the snapshot, Revision where the new store
	// begins.
	SnapshotRevision, Revision int64
	StoreID                    string
	Contents                   Contents
}

func (r RestoreReport) String() string {
	return fmt.Sprintf("restored %s: revision %d (the snapshot's was %d; everything before is compacted, clients list anew), store id %s\n%s",
		r.Dir, r.Revision, r.SnapshotRevision, r.StoreID, r.Contents)
}

// Restore makes a new store in dir of a snapshot, after verifying it. The store
// begins bump revisions after the snapshot (0 means MinBump, less is refused)
// with all history compacted: a client that has seen revisions of the old store,
// later ones than the snapshot's too, is told to list anew instead of believing
// that nothing happened.
func Restore(ctx context.Context, snapshot, dir string, bump int64) (r RestoreReport, err error) {
	if bump == 0 {
		bump = MinBump
	}
	if bump < MinBump {
		return r, fmt.Errorf("a restore has to raise the revision by at least %d, not %d: clients of the old store would believe what they have", int64(MinBump), bump)
	}
	r.Dir = dir
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return r, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return r, err
	}
	defer lock.release()
	path := filepath.Join(dir, checkpointName)
	for _, name := range []string{path, filepath.Join(dir, logDirName)} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			return r, fmt.Errorf("%s exists: restore into a new directory, or move the old store away first", name)
		}
	}
	tmp := path + ".tmp"
	defer os.Remove(tmp)
	if err := unpackSnapshot(ctx, snapshot, tmp); err != nil {
		return r, err
	}
	if err := r.adopt(ctx, tmp, bump); err != nil {
		return r, err
	}
	return r, renameDurably(tmp, path)
}

// unpackSnapshot copies the checkpoint out of a snapshot whose trailer is
// right.
func unpackSnapshot(ctx context.Context, snapshot, path string) error {
	in, err := os.Open(snapshot)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	bad := func(what string) error {
		return fmt.Errorf("%w: %s is no whole snapshot: %s; take another one", ErrCorrupt, snapshot, what)
	}
	size := info.Size() - trailerSize
	if size < 4*pageSize {
		return bad(fmt.Sprintf("it has %d bytes", info.Size()))
	}
	trailer := make([]byte, trailerSize)
	if _, err := in.ReadAt(trailer, size); err != nil {
		return err
	}
	if string(trailer[:8]) != snapshotMagic {
		return bad("it does not end as one")
	}
	if v := binary.LittleEndian.Uint32(trailer[8:]); v != snapshotVersion {
		return fmt.Errorf("%s has snapshot format %d, this program reads %d", snapshot, v, snapshotVersion)
	}
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer out.Close()
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for body := io.NewSectionReader(in, 0, size); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.Read(buf)
		sum.Write(buf[:n])
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if string(sum.Sum(nil)) != string(trailer[12:]) {
		return bad("its SHA-256 does not match")
	}
	return out.Sync()
}

// adopt verifies the checkpoint and makes it the beginning of a new store.
func (r *RestoreReport) adopt(ctx context.Context, path string, bump int64) error {
	file, err := openCheckpoint(path, false)
	if err != nil {
		return err
	}
	defer file.close()
	s, contents, err := verifyCheckpoint(ctx, file)
	if err != nil {
		return err
	}
	if contents.newest > s.rev {
		return corrupt("the snapshot is of revision %d, but has a key of revision %d: it was not taken of a finished checkpoint", s.rev, contents.newest)
	}
	r.Contents, r.SnapshotRevision = contents, s.rev
	s.lsn = 0
	s.rev += bump
	s.compact, s.base = s.rev, s.rev
	if _, err := rand.Read(s.id[:]); err != nil {
		return err
	}
	r.Revision, r.StoreID = s.rev, fmt.Sprintf("%x", s.id)
	tx, err := file.beginUpdate()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := tx.Bucket(bucketMeta).Put(keyState, s.encode()); err != nil {
		return err
	}
	return tx.Commit()
}
