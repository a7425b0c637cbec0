// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Roots are the writable paths, open.
type Roots struct {
	mu    sync.RWMutex
	roots []root
}

type root struct {
	path string
	fd   int
}

// OpenRoots opens the writable paths. They are our own configuration and may be
// reached through links; what is beneath them may not.
func OpenRoots(paths []string) (*Roots, error) {
	r := &Roots{}
	for _, path := range paths {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
			r.Close()
			return nil, fmt.Errorf("%q is no clean absolute path below /", path)
		}
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("opening %s: %w", path, err)
		}
		r.roots = append(r.roots, root{path: path, fd: fd})
		if err := probe(fd); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// probe refuses a kernel that cannot resolve beneath.
func probe(fd int) error {
	opened, err := beneath(fd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOSYS) {
		return errors.New("this kernel has no openat2 (Linux 5.6): files cannot be served safely")
	}
	if err != nil {
		return err
	}
	unix.Close(opened)
	return nil
}

// Close closes the roots.
func (r *Roots) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, root := range r.roots {
		unix.Close(root.fd)
	}
	r.roots = nil
}

// maxPath bounds a path as the kernel does.
const maxPath = 4095

// An outsideError says that a path may not be touched, for its form or for where
// it leads.
type outsideError struct{ path, why string }

func (e *outsideError) Error() string { return fmt.Sprintf("%s: %s", e.path, e.why) }

// split finds the root that a path lies in, and the path from there, "." for the
// root itself.
func (r *Roots) split(path string) (fd int, rel string, err error) {
	if err := checkPath(path); err != nil {
		return -1, "", err
	}
	clean := filepath.Clean(path)
	r.mu.RLock()
	defer r.mu.RUnlock()
	best := -1
	for i, root := range r.roots {
		if (clean == root.path || strings.HasPrefix(clean, root.path+"/")) && (best < 0 || len(root.path) > len(r.roots[best].path)) {
			best = i
		}
	}
	if best < 0 {
		return -1, "", &outsideError{path, "not beneath a writable path of the sandbox (spec.filesystem.writablePaths); a command reaches the rest"}
	}
	rel = strings.TrimPrefix(strings.TrimPrefix(clean, r.roots[best].path), "/")
	if rel == "" {
		rel = "."
	}
	// The descriptor stays open as long as a call may use it: roots are replaced
	// at the bind only, before there is traffic, and duplicated here all the same.
	fd, err = unix.FcntlInt(uintptr(r.roots[best].fd), unix.F_DUPFD_CLOEXEC, 0)
	return fd, rel, err
}

func checkPath(path string) error {
	switch {
	case len(path) > maxPath:
		return &outsideError{path[:64] + "…", fmt.Sprintf("a path has at most %d bytes", maxPath)}
	case strings.IndexByte(path, 0) >= 0:
		return &outsideError{path, "has a NUL byte"}
	case !strings.HasPrefix(path, "/"):
		return &outsideError{path, "is not absolute"}
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return &outsideError{path, `".." is refused`}
		}
	}
	return nil
}

// open opens a path beneath its root.
func (r *Roots) open(path string, flags int, mode uint32) (int, error) {
	fd, rel, err := r.split(path)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return beneath(fd, rel, flags, mode)
}

// parent opens the directory that holds a path's last name. make creates what is
// missing on the way.
func (r *Roots) parent(path string, make bool) (dir int, name string, err error) {
	fd, rel, err := r.split(path)
	if err != nil {
		return -1, "", err
	}
	defer unix.Close(fd)
	if rel == "." {
		return -1, "", &outsideError{path, "is a writable path itself"}
	}
	dir, err = openDir(fd, filepath.Dir(rel), make)
	return dir, filepath.Base(rel), err
}

// openDir opens a directory beneath dir, and makes it if wanted.
func openDir(dir int, rel string, make bool) (int, error) {
	fd, err := beneath(dir, rel, unix.O_PATH|unix.O_DIRECTORY, 0)
	if !make || !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	at, err := beneath(dir, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	for part := range strings.SplitSeq(rel, "/") {
		if err := unix.Mkdirat(at, part, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			unix.Close(at)
			return -1, err
		}
		next, err := beneath(at, part, unix.O_PATH|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// beneath is openat2 with the one policy. The kernel answers EAGAIN when a rename
// went on meanwhile; a guest that renames without pause gets an error.
func beneath(dir int, rel string, flags int, mode uint32) (int, error) {
	how := &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 32 {
		fd, err := unix.Openat2(dir, rel, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}
