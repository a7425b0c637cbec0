// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package faultfs

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

func create(t *testing.T, fs *FS, name string) vfs.File {
	t.Helper()
	fs.MkdirAll("/d", 0o700)
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, f vfs.File, b []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSyncedSurvivesAndTheRestSurvivesInParts(t *testing.T) {
	t.Parallel()
	old, fresh := bytes.Repeat([]byte{1}, 8*pageSize), bytes.Repeat([]byte{2}, 8*pageSize)
	outcomes := map[byte]int{}
	torn := 0
	for seed := range uint64(50) {
		fs := New(seed)
		f := create(t, fs, "/d/a")
		write(t, f, old, 0)
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := fs.SyncDir("/d"); err != nil {
			t.Fatal(err)
		}
		write(t, f, fresh, 0)
		fs.Crash()
		if _, err := f.WriteAt(fresh, 0); !errors.Is(err, ErrCrashed) {
			t.Fatalf("a write without power: %v", err)
		}
		fs.Revive()
		got := fs.Bytes("/d/a")
		if len(got) != len(old) {
			t.Fatalf("%d bytes, want %d", len(got), len(old))
		}
		for p := range 8 {
			page := got[p*pageSize : (p+1)*pageSize]
			outcomes[page[0]]++
			if !bytes.Equal(page, old[:pageSize]) && !bytes.Equal(page, fresh[:pageSize]) {
				torn++
			}
		}
	}
	if outcomes[1] < 50 || outcomes[2] < 50 || outcomes[1]+outcomes[2] != 400 || torn < 50 {
		t.Errorf("outcomes %v, %d torn pages", outcomes, torn)
	}
}

func TestANameSurvivesOnlyAfterSyncDir(t *testing.T) {
	t.Parallel()
	lost, kept := 0, 0
	for seed := range uint64(40) {
		fs := New(seed)
		f := create(t, fs, "/d/a")
		write(t, f, []byte("x"), 0)
		f.Sync()
		fs.Crash()
		fs.Revive()
		if fs.Bytes("/d/a") == nil {
			lost++
		} else {
			kept++
		}
	}
	if lost == 0 || kept == 0 {
		t.Errorf("%d lost, %d kept", lost, kept)
	}
}

func TestAFailedSyncLeavesNothingForTheNext(t *testing.T) {
	t.Parallel()
	lost := false
	for seed := range uint64(20) {
		fs := New(seed)
		f := create(t, fs, "/d/a")
		write(t, f, make([]byte, pageSize), 0)
		f.Sync()
		fs.SyncDir("/d")
		write(t, f, []byte("new"), 0)
		fs.SetFault(func(op Op, _ string) (error, int) {
			if op == OpSync {
				return syscall.EIO, 0
			}
			return nil, 0
		})
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		fs.SetFault(nil)
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		if f.ReadAt(b, 0); string(b) != "new" {
			t.Fatalf("the page cache reads %q", b)
		}
		fs.Crash()
		lost = lost || string(fs.Bytes("/d/a")[:3]) != "new"
	}
	if !lost {
		t.Error("every page that a failed sync left was durable after the next")
	}
}

func TestFaultsAndFullDisk(t *testing.T) {
	t.Parallel()
	fs := New(1)
	f := create(t, fs, "/d/a")
	fs.SetFault(func(op Op, _ string) (error, int) {
		if op == OpWrite {
			return syscall.EIO, 2
		}
		return nil, 0
	})
	if n, err := f.WriteAt([]byte("abcd"), 0); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if got := fs.Bytes("/d/a"); string(got) != "ab" {
		t.Errorf("file holds %q", got)
	}
	fs.SetFault(nil)
	fs.SetLimit(4)
	if _, err := f.WriteAt([]byte("abcd"), 0); err != nil {
		t.Error(err)
	}
	if _, err := f.WriteAt([]byte("e"), 4); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write beyond the end of the disk: %v", err)
	}
	if _, err := f.WriteAt([]byte("e"), 3); err != nil {
		t.Errorf("an overwrite on a full disk: %v", err)
	}
}
