// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faultfs is a file system in memory with the faults of a disk: short
// writes, errors of a write or a sync, a full disk, and the loss of power with
// what was not synced dropped page by page in any combination.
//
// It keeps for every file what is durable and, page by page, what is only
// written. Sync makes the written pages durable. Crash throws each page that
// was not synced away, keeps it, or keeps only some of its sectors, as its
// random source says: the pages reach the medium in no order. Names made,
// renamed or removed since the last SyncDir of their directory are kept or
// undone in the same way, the first ones first, as a journalling file system
// does.
package faultfs

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// Op is an operation that can be made to fail.
type Op string

const (
	OpWrite   Op = "write"
	OpSync    Op = "sync"
	OpRead    Op = "read"
	OpCreate  Op = "create"
	OpRename  Op = "rename"
	OpSyncDir Op = "syncdir"
)

// Fault decides, before an operation, whether and how it fails. Short says that
// a write stores only the first n bytes before it fails; 0 stores none.
type Fault func(op Op, name string) (err error, short int)

// ErrCrashed is returned by everything after Crash.
var ErrCrashed = errors.New("faultfs: the power is gone")

// FS implements vfs.FS.
type FS struct {
	mu    sync.Mutex
	rng   *rand.Rand
	fault Fault
	// limit is the size of the disk, 0 for none.
	limit int64
	// epoch tells files that were opened before a crash from later ones.
	epoch int
	down  bool

	dirs  map[string]bool
	names map[string]*inode
	// durable are the names as of the last SyncDir; pending what has changed
	// since, in order.
	durable map[string]*inode
	pending []change
}

var _ vfs.FS = (*FS)(nil)

// inode is the content of a file.
type inode struct {
	// name is the present one, by which faults know the file.
	name    string
	written []byte
	durable []byte
	// dirty are the pages that differ in writing.
	dirty map[int]bool
}

// change is a change of names that is not durable yet.
type change struct {
	name string
	node *inode // nil: removed
	// old is the name that a rename takes away, in the same step.
	old string
}

// New returns an empty file system whose crashes follow from the seed.
func New(seed uint64) *FS {
	return &FS{
		rng: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)), dirs: map[string]bool{},
		names: map[string]*inode{}, durable: map[string]*inode{},
	}
}

// SetFault installs a fault, nil for none.
func (fs *FS) SetFault(f Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.fault = f
}

// SetLimit sets the size of the disk: what would take more fails with ENOSPC.
func (fs *FS) SetLimit(bytes int64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.limit = bytes
}

// Crash cuts the power: from now on every operation of open files fails. Revive
// brings the machine back with what survived.
func (fs *FS) Crash() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.down = true
	fs.epoch++
	for _, node := range fs.nodes() {
		fs.loseUnsynced(node)
	}
	// A directory's changes survive up to some point.
	keep := 0
	if len(fs.pending) > 0 {
		keep = fs.rng.IntN(len(fs.pending) + 1)
	}
	for _, c := range fs.pending[:keep] {
		c.apply(fs.durable)
	}
	fs.pending = nil
	fs.names = map[string]*inode{}
	for name, node := range fs.durable {
		node.name = name
		fs.names[name] = node
	}
}

// nodes returns the files in an order that a seed reproduces.
func (fs *FS) nodes() []*inode {
	names := make([]string, 0, len(fs.names))
	for name := range fs.names {
		names = append(names, name)
	}
	slices.Sort(names)
	seen := map[*inode]bool{}
	var nodes []*inode
	for _, name := range names {
		if node := fs.names[name]; !seen[node] {
			seen[node] = true
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (fs *FS) loseUnsynced(node *inode) {
	pages := make([]int, 0, len(node.dirty))
	for page := range node.dirty {
		pages = append(pages, page)
	}
	slices.Sort(pages)
	for _, page := range pages {
		switch fs.rng.IntN(3) {
		case 0: // lost
		case 1: // kept
			node.keep(page*pageSize, (page+1)*pageSize)
		default: // torn
			for s := page * pageSize; s < (page+1)*pageSize; s += sectorSize {
				if fs.rng.IntN(2) == 0 {
					node.keep(s, s+sectorSize)
				}
			}
		}
	}
	node.dirty = map[int]bool{}
	node.written = slices.Clone(node.durable)
}

// keep makes a range durable. A file that has grown keeps its new size with any
// page of the new part; what was lost before it reads as zeros.
func (n *inode) keep(from, to int) {
	to = min(to, len(n.written))
	if from >= to {
		return
	}
	if len(n.durable) < to {
		n.durable = append(n.durable, make([]byte, to-len(n.durable))...)
	}
	copy(n.durable[from:to], n.written[from:to])
}

// Revive ends a crash.
func (fs *FS) Revive() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.down = false
}

// Bytes returns a copy of a file as it reads now, nil if there is none.
func (fs *FS) Bytes(name string) []byte {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if node := fs.names[name]; node != nil {
		return slices.Clone(node.written)
	}
	return nil
}

// Overwrite changes a file behind everybody's back, durably.
func (fs *FS) Overwrite(name string, off int, b []byte) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	node := fs.names[name]
	copy(node.written[off:], b)
	copy(node.durable[off:], b)
}

// Clone returns an independent copy of the file system as it reads now, all of
// it durable, without faults.
func (fs *FS) Clone(seed uint64) *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	c := New(seed)
	for dir := range fs.dirs {
		c.dirs[dir] = true
	}
	for name, node := range fs.names {
		n := &inode{name: name, written: slices.Clone(node.written), durable: slices.Clone(node.written), dirty: map[int]bool{}}
		c.names[name], c.durable[name] = n, n
	}
	return c
}

func (c change) apply(names map[string]*inode) {
	if c.old != "" {
		delete(names, c.old)
	}
	if c.node == nil {
		delete(names, c.name)
		return
	}
	names[c.name] = c.node
}

func (fs *FS) check(op Op, name string) (error, int) {
	if fs.down {
		return ErrCrashed, 0
	}
	if fs.fault != nil {
		return fs.fault(op, name)
	}
	return nil, 0
}

// OpenFile implements vfs.FS.
func (fs *FS) OpenFile(name string, flag int, _ os.FileMode) (vfs.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err, _ := fs.check(OpCreate, name); err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	node := fs.names[name]
	switch {
	case node == nil && flag&os.O_CREATE == 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	case node == nil:
		node = &inode{name: name, dirty: map[int]bool{}}
		fs.rename(change{name: name, node: node})
	case flag&os.O_TRUNC != 0:
		node.written, node.dirty = nil, map[int]bool{}
	}
	return &file{fs: fs, node: node, epoch: fs.epoch}, nil
}

func (fs *FS) rename(c change) {
	c.apply(fs.names)
	fs.pending = append(fs.pending, c)
}

// Rename implements vfs.FS.
func (fs *FS) Rename(oldName, newName string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err, _ := fs.check(OpRename, oldName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	node := fs.names[oldName]
	if node == nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: os.ErrNotExist}
	}
	node.name = newName
	fs.rename(change{name: newName, node: node, old: oldName})
	return nil
}

// Remove implements vfs.FS.
func (fs *FS) Remove(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.down {
		return ErrCrashed
	}
	if fs.names[name] == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	fs.rename(change{name: name})
	return nil
}

// ReadDir implements vfs.FS.
func (fs *FS) ReadDir(dir string) ([]string, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.dirs[dir] {
		return nil, &os.PathError{Op: "readdir", Path: dir, Err: os.ErrNotExist}
	}
	var names []string
	for name := range fs.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll implements vfs.FS. A directory is durable at once.
func (fs *FS) MkdirAll(dir string, _ os.FileMode) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.dirs[dir] = true
	return nil
}

// SyncDir implements vfs.FS. All names become durable, those of other
// directories too.
func (fs *FS) SyncDir(dir string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err, _ := fs.check(OpSyncDir, dir); err != nil {
		return &os.PathError{Op: "sync", Path: dir, Err: err}
	}
	for _, c := range fs.pending {
		c.apply(fs.durable)
	}
	fs.pending = nil
	return nil
}

func (fs *FS) used() int64 {
	var n int64
	for _, node := range fs.names {
		n += int64(len(node.written))
	}
	return n
}

type file struct {
	fs    *FS
	node  *inode
	epoch int
	shut  bool
}

func (f *file) check(op Op) (error, int) {
	if f.epoch != f.fs.epoch {
		return ErrCrashed, 0
	}
	if f.shut {
		return os.ErrClosed, 0
	}
	return f.fs.check(op, f.node.name)
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err, _ := f.check(OpRead); err != nil {
		return 0, &os.PathError{Op: "read", Path: f.node.name, Err: err}
	}
	if off >= int64(len(f.node.written)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.written[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err, short := f.check(OpWrite)
	if err == nil && f.fs.limit > 0 {
		if grows := off + int64(len(b)) - int64(len(f.node.written)); grows > 0 && f.fs.used()+grows > f.fs.limit {
			err = syscall.ENOSPC
		}
	}
	n := len(b)
	if err != nil {
		n = min(short, n)
	}
	f.node.write(b[:n], int(off))
	if err != nil {
		return n, &os.PathError{Op: "write", Path: f.node.name, Err: err}
	}
	return n, nil
}

func (n *inode) write(b []byte, off int) {
	if len(b) == 0 {
		return
	}
	if grow := off + len(b) - len(n.written); grow > 0 {
		n.written = append(n.written, make([]byte, grow)...)
	}
	copy(n.written[off:], b)
	for page := off / pageSize; page*pageSize < off+len(b); page++ {
		n.dirty[page] = true
	}
}

// Sync makes what is written durable. If it fails, the pages it was to write
// are marked clean all the same, as some kernels do: what they hold on the
// medium is open, and a later Sync will not write them.
func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err, _ := f.check(OpSync); err != nil {
		if !errors.Is(err, ErrCrashed) {
			written := f.node.written
			f.fs.loseUnsynced(f.node)
			f.node.written = written
		}
		return &os.PathError{Op: "fdatasync", Path: f.node.name, Err: err}
	}
	for page := range f.node.dirty {
		f.node.keep(page*pageSize, (page+1)*pageSize)
	}
	f.node.dirty = map[int]bool{}
	if len(f.node.durable) > len(f.node.written) {
		f.node.durable = f.node.durable[:len(f.node.written)]
	}
	return nil
}

func (f *file) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err, _ := f.check(OpWrite); err != nil {
		return &os.PathError{Op: "truncate", Path: f.node.name, Err: err}
	}
	if size < int64(len(f.node.written)) {
		f.node.written = f.node.written[:size]
		return nil
	}
	f.node.written = append(f.node.written, make([]byte, size-int64(len(f.node.written)))...)
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err, _ := f.check(OpRead); err != nil {
		return 0, err
	}
	return int64(len(f.node.written)), nil
}

func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.shut {
		return os.ErrClosed
	}
	f.shut = true
	return nil
}
