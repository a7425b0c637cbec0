// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vfs is the thin layer between the write-ahead log and the file
// system. It exists so that tests can put faults where a disk has them: see
// vfs/faultfs.
//
// Laws every implementation keeps:
//   - Sync returns nil only if everything written to the file before the call
//     is on the medium. After Sync has returned an error the state of the file
//     is unknown and no later Sync of it may be believed.
//   - A name made, renamed or removed is durable only after SyncDir.
package vfs

import (
	"io"
	"os"
)

// FS opens and names files.
type FS interface {
	OpenFile(name string, flag int, perm os.FileMode) (File, error)
	Rename(oldName, newName string) error
	Remove(name string) error
	// ReadDir returns the base names in dir, sorted.
	ReadDir(dir string) ([]string, error)
	MkdirAll(dir string, perm os.FileMode) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// File is what the log needs of a file: positioned reads and writes. It may be
// used by several goroutines as long as they do not write the same range.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the data durable, and of the metadata only what is needed to
	// read it back (fdatasync).
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}
