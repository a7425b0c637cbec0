// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

// crashed is a store that was left without a checkpoint: its log on a disk of
// faultfs, its checkpoint file as it was when it was new.
type crashed struct {
	dir     string
	fs      *faultfs.FS
	opts    Options
	segment string
	// ends are the offsets at which the commits end: ends[i] is where revision
	// i+1 is complete.
	ends []int
}

func newCrashed(t *testing.T, n int) crashed {
	t.Helper()
	c := crashed{dir: t.TempDir(), fs: faultfs.New(1)}
	c.opts = Options{Dir: c.dir, FS: c.fs, SegmentBytes: minSegmentBytes, noSync: true, CheckpointInterval: time.Hour}
	db, err := Open(c.opts)
	if err != nil {
		t.Fatal(err)
	}
	c.ends = append(c.ends, int(db.offset))
	for i := range n {
		if i%3 == 2 {
			// A journal record has no revision: it rides before the put.
			j := db.Journal().Stage(context.Background(), journal.Record{Owner: "o", Number: int64(i), Data: []byte("entry")})
			if err := j.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		mustPut(t, db, fmt.Sprintf("/k/%d", i%4), strings.Repeat("v", i*7), keyRevision(t, db, fmt.Sprintf("/k/%d", i%4)))
		c.ends = append(c.ends, int(db.offset))
	}
	c.segment = db.segment.path
	db.abandon()
	return c
}

func keyRevision(t testing.TB, db *DB, key string) int64 {
	t.Helper()
	e, _, err := db.getCurrent(key)
	if err != nil {
		t.Fatal(err)
	}
	if e == nil {
		return 0
	}
	return e.mod
}

// open opens a copy of the store with its log changed by edit.
func (c crashed) open(t *testing.T, edit func(fs *faultfs.FS)) (*DB, error) {
	t.Helper()
	fs := c.fs.Clone(1)
	edit(fs)
	opts := c.opts
	opts.FS = fs
	return Open(opts)
}

// complete returns how many commits end at or before off.
func (c crashed) complete(off int) int {
	n := 0
	for n+1 < len(c.ends) && c.ends[n+1] <= off {
		n++
	}
	return n
}

// TestATornTailIsForgivenAtEveryByte cuts the log off at every byte of its last
// commits: what was complete before is there, the rest is not, and the store
// takes writes again.
func TestATornTailIsForgivenAtEveryByte(t *testing.T) {
	t.Parallel()
	const commits = 12
	c := newCrashed(t, commits)
	end := c.ends[commits]
	for cut := c.ends[commits-4]; cut < end; cut++ {
		db, err := c.open(t, func(fs *faultfs.FS) { fs.Overwrite(c.segment, cut, make([]byte, end-cut)) })
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, end, err)
		}
		// A cut in the zeros that pad the last record takes nothing away.
		want := int64(c.complete(cut) + 1)
		if got := db.Revision(); got != want && !(got == want+1 && c.ends[want]-cut < recordAlign) {
			t.Errorf("cut at %d: revision %d, want %d", cut, got, want)
		}
		if cut%37 == 0 {
			mustPut(t, db, "/new", "x", 0)
		}
		db.abandon()
	}
}

// TestATornRecordIsForgivenAtEveryByte flips each byte of the last record.
func TestATornRecordIsForgivenAtEveryByte(t *testing.T) {
	t.Parallel()
	const commits = 5
	c := newCrashed(t, commits)
	log := c.fs.Bytes(c.segment)
	for at := c.ends[commits-1]; at < c.ends[commits]; at++ {
		db, err := c.open(t, func(fs *faultfs.FS) { fs.Overwrite(c.segment, at, []byte{log[at] ^ 0x55}) })
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if got := db.Revision(); got != commits && got != commits+1 {
			t.Errorf("byte %d: revision %d", at, got)
		}
		if got := db.Revision(); got == commits+1 && mustGet(t, db, "/k/0") != strings.Repeat("v", 4*7) {
			t.Errorf("byte %d: a damaged value was taken for whole", at)
		}
		db.abandon()
	}
}

// TestADamagedMiddleIsRefusedAtEveryByte flips each byte of a commit that others
// came after: none of it may be taken for a torn tail.
func TestADamagedMiddleIsRefusedAtEveryByte(t *testing.T) {
	t.Parallel()
	const commits = 6
	c := newCrashed(t, commits)
	log := c.fs.Bytes(c.segment)
	refused := 0
	for at := c.ends[1]; at < c.ends[2]; at++ {
		db, err := c.open(t, func(fs *faultfs.FS) { fs.Overwrite(c.segment, at, []byte{log[at] ^ 0x55}) })
		if err == nil {
			// Only the padding is not covered by a checksum.
			if c.ends[2]-at >= recordAlign || db.Revision() != commits+1 {
				t.Errorf("byte %d: opened at revision %d", at, db.Revision())
			}
			db.abandon()
			continue
		}
		refused++
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(c.segment)) || !strings.Contains(err.Error(), "safebeam store restore") {
			t.Errorf("byte %d: the refusal does not name the file and the remedy: %v", at, err)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestACutTailLeavesNoGhosts tears the first record of a commit of two, writes
// another of its size in its place, and looks whether the second one, whole and
// right behind, is taken for its successor. It begins with a page: anywhere else
// the zeros that fill the new commit's last page would hide it.
func TestACutTailLeavesNoGhosts(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	opts := Options{Dir: t.TempDir(), FS: fs, SegmentBytes: minSegmentBytes, noSync: true, CheckpointInterval: time.Hour}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, "/k/0", "kept", 0)
	at := int(db.offset)
	size := 0
	for e := (entry{key: "/k/1", create: 3, version: 1}); (at+recordSize(len(appendPut(nil, &e, nil))))%pageSize != 0; size++ {
		e.value = make([]byte, size+1)
	}
	torn, fresh := strings.Repeat("t", size), strings.Repeat("n", size)
	for _, key := range []string{"/k/1", "/k/2"} {
		if _, err := db.stagePut(t.Context(), key, []byte(torn), 0, always); err != nil {
			t.Fatal(err)
		}
	}
	db.commit()
	segment := db.segment.path
	db.abandon()
	fs.Overwrite(segment, at+recordHeaderSize, []byte{0xff, 0xff})
	if db, err = Open(opts); err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, "/k/3", fresh, 0)
	if db.offset%pageSize != 0 {
		t.Fatalf("the commit ends at %d: the test proves nothing", db.offset)
	}
	db.abandon()
	if db, err = Open(opts); err != nil {
		t.Fatal(err)
	}
	defer db.abandon()
	if got := fmt.Sprint(contentOf(t, db)); got != "[/k/0=kept /k/3="+fresh+"]" || db.Revision() != 3 {
		t.Errorf("revision %d holds %.60s", db.Revision(), got)
	}
}

// TestWhatIsReadAfterAFailedSyncStays opens a store whose last commit failed to
// sync, and reads that commit out of the page cache. From then on it counts:
// the loss of power may not take it away, though the kernel believes its pages
// to be clean.
func TestWhatIsReadAfterAFailedSyncStays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		fs := faultfs.New(seed)
		opts := Options{Dir: t.TempDir(), FS: fs, SegmentBytes: 8 * minSegmentBytes, noSync: true, CheckpointInterval: time.Hour}
		db, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		segment := db.segment.path
		fs.SetFault(func(op faultfs.Op, name string) (error, int) {
			if op == faultfs.OpSync && name == segment {
				return syscall.EIO, 0
			}
			return nil, 0
		})
		big := strings.Repeat("v", 5*pageSize)
		if _, err := db.Client().Kubernetes.OptimisticPut(t.Context(), "/k", []byte(big), 0, kubernetes.PutOptions{}); err == nil {
			t.Fatal("a put without a sync")
		}
		db.abandon()
		fs.SetFault(nil)
		if db, err = Open(opts); err != nil {
			t.Fatal(err)
		}
		if mustGet(t, db, "/k") != big {
			t.Fatal("the page cache has lost it: the test proves nothing")
		}
		fs.Crash()
		db.abandon()
		fs.Revive()
		if db, err = Open(opts); err != nil {
			t.Fatal(err)
		}
		if mustGet(t, db, "/k") != big {
			t.Errorf("seed %d: what was read is gone", seed)
		}
		db.abandon()
	}
}

func TestASegmentIsGivenUpOnlyWhenNothingNeedsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lsn  uint64
		rev  int64
		used bool
		want int
	}{
		{"all covered, all compacted", 10, 6, true, 1},
		{"a record awaits its checkpoint", 9, 6, true, 0},
		{"its last change is history", 10, 5, true, 0},
		{"it holds the last record", 10, 6, false, 0},
	} {
		w := &wal{kick: make(chan struct{}, 1), segs: []*segment{{seq: 1, lastLSN: 10, lastRev: 5}, {seq: 2}}}
		if c.used {
			w.segs[1].lastLSN = 11
		}
		w.retire(c.lsn, c.rev)
		if len(w.retired) != c.want || len(w.segs) != 2-c.want {
			t.Errorf("%s: %d retired", c.name, len(w.retired))
		}
	}
}

// TestACheckpointCutShortIsDoneAgain ends checkpoints after each of their
// transactions: the file then holds keys newer than its state says, and lacks
// some that the log has yet to delete.
func TestACheckpointCutShortIsDoneAgain(t *testing.T) {
	t.Parallel()
	for passes := range 12 {
		dir := t.TempDir()
		opts := Options{Dir: dir, noSync: true, chunkKeys: 2, CheckpointInterval: time.Hour}
		db, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		fillPrefix(t, db, "/k/", 12)
		if err := db.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			key := fmt.Sprintf("/k/%06d", i)
			if i%2 == 0 {
				if err := db.writeDelete(t, key); err != nil {
					t.Fatal(err)
				}
				continue
			}
			mustPut(t, db, key, "new", keyRevision(t, db, key))
		}
		want := contentOf(t, db)
		left := passes
		db.opts.checkpointFault = func() error {
			if left--; left < 0 {
				return syscall.EIO
			}
			return nil
		}
		err = db.Checkpoint(t.Context())
		if passes < 7 != (err != nil) {
			t.Fatalf("%d transactions: %v", passes, err)
		}
		db.abandon()
		report, err := Check(t.Context(), dir)
		if err != nil || report.Err() != nil {
			t.Errorf("%d transactions: %v\n%s", passes, err, report)
		}
		db, err = Open(opts)
		if err != nil {
			t.Errorf("%d transactions: %v", passes, err)
			continue
		}
		if got := contentOf(t, db); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d transactions: %v, want %v", passes, got, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (db *DB) writeDelete(t *testing.T, key string) error {
	out, err := db.stageDelete(t.Context(), key, always)
	if err == nil {
		err = db.answer(t.Context(), &out)
	}
	return err
}

func TestALostEndOfTheLogIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fs := faultfs.New(1)
	opts := Options{Dir: dir, FS: fs, SegmentBytes: minSegmentBytes, noSync: true, CheckpointInterval: time.Hour}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, "/a", "1", 0)
	segment := db.segment.path
	before := fs.Bytes(segment)
	mustPut(t, db, "/b", "1", 0)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	fs.Overwrite(segment, 0, before)
	if db, err := Open(opts); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "the end of the log is missing") {
		t.Fatalf("opened %v: %v", db, err)
	}
}

func TestAMissingSegmentIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := Options{Dir: dir, SegmentBytes: minSegmentBytes, CheckpointInterval: time.Hour} // a checkpoint would take the need of the first away
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		mustPut(t, db, fmt.Sprintf("/k/%d", i), strings.Repeat("v", 1500), 0)
	}
	db.abandon()
	names, _ := filepath.Glob(filepath.Join(dir, logDirName, "*"+segmentSuffix))
	if len(names) < 4 {
		t.Fatalf("only %d segments", len(names))
	}
	for _, name := range names[:3] {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(opts); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "missing") {
			t.Errorf("without %s: %v", filepath.Base(name), err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db = openTest(t, opts)
	if db.Revision() != 201 {
		t.Errorf("revision %d", db.Revision())
	}
}

func TestAMissingCheckpointFileIsRefused(t *testing.T) {
	t.Parallel()
	c := newCrashed(t, 2)
	if err := os.Remove(filepath.Join(c.dir, checkpointName)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.open(t, func(*faultfs.FS) {}); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	file, err := bolt.Open(filepath.Join(dir, checkpointName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = file.Update(func(tx *bolt.Tx) error {
		b := append([]byte{}, tx.Bucket(bucketMeta).Get(keyState)...)
		binary.LittleEndian.PutUint32(b, formatVersion+1)
		return tx.Bucket(bucketMeta).Put(keyState, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Fatal(err)
	}
}

func TestASecondOpenerIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openTest(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatal(err)
	}
	if _, err := Check(context.Background(), dir); !errors.Is(err, ErrLocked) {
		t.Errorf("check of an open store: %v", err)
	}
	mustPut(t, db, "/a", "1", 0)
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	db := openTest(t, Options{Dir: dir})
	mustPut(t, db, "/a", "1", 0)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
