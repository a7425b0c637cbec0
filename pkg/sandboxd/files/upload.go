// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

const (
	// maxUploads are open at one time; the one that rested longest goes.
	maxUploads = 32
	// uploadIdle is how long an upload waits for its next part.
	uploadIdle = 10 * time.Minute
)

// upload is a file that is not there yet. Where the file system can, it has no
// name at all: the guest cannot open, change or link it, and it is gone when
// sandboxd is.
type upload struct {
	id, path string
	mode     uint32

	mu       sync.Mutex // held by the one part that is being written
	file     *os.File
	name     string // in its directory, where it needs one
	dir      int    // the directory, where it needs a name; else -1
	received uint64
	gone     bool

	used time.Time // guarded by uploads.mu
}

type uploads struct {
	mu   sync.Mutex
	byID map[string]*upload
}

func newUploads() *uploads { return &uploads{byID: map[string]*upload{}} }

// take finds or begins an upload and returns it locked.
func (us *uploads) take(h *sandboxpb.WriteHeader, roots *Roots) (*upload, error) {
	if h.UploadId == "" || len(h.UploadId) > 128 {
		return nil, status.Error(codes.InvalidArgument, "upload_id has 1 to 128 bytes")
	}
	us.mu.Lock()
	u := us.byID[h.UploadId]
	if u == nil {
		if h.Offset != 0 {
			us.mu.Unlock()
			return nil, status.Errorf(codes.NotFound, "no upload %q: begin again at 0", h.UploadId)
		}
		us.mu.Unlock()
		fresh, err := begin(h, roots)
		if err != nil {
			return nil, err
		}
		us.mu.Lock()
		if u = us.byID[h.UploadId]; u != nil {
			us.mu.Unlock()
			fresh.close()
			return nil, status.Errorf(codes.Aborted, "upload %q: another part is being written", h.UploadId)
		}
		us.evict()
		us.byID[h.UploadId] = fresh
		u = fresh
	}
	u.used = time.Now()
	us.mu.Unlock()
	if !u.mu.TryLock() {
		return nil, status.Errorf(codes.Aborted, "upload %q: another part is being written", h.UploadId)
	}
	if u.gone || u.path != string(h.Path) {
		u.mu.Unlock()
		return nil, status.Errorf(codes.FailedPrecondition, "upload %q is over, or of another path", h.UploadId)
	}
	return u, nil
}

// evict makes room for one. The caller holds mu.
func (us *uploads) evict() {
	if len(us.byID) < maxUploads {
		return
	}
	var oldest *upload
	for _, u := range us.byID {
		if oldest == nil || u.used.Before(oldest.used) {
			oldest = u
		}
	}
	delete(us.byID, oldest.id)
	go oldest.end() // waits for a part that is being written
}

func (us *uploads) drop(id string) {
	us.mu.Lock()
	u := us.byID[id]
	delete(us.byID, id)
	us.mu.Unlock()
	if u != nil {
		u.end()
	}
}

// discard ends an upload that the caller has locked.
func (us *uploads) discard(u *upload) {
	us.mu.Lock()
	if us.byID[u.id] == u {
		delete(us.byID, u.id)
	}
	us.mu.Unlock()
	u.close()
}

func (us *uploads) expire(now time.Time) {
	us.mu.Lock()
	var over []*upload
	for id, u := range us.byID {
		if now.Sub(u.used) > uploadIdle {
			delete(us.byID, id)
			over = append(over, u)
		}
	}
	us.mu.Unlock()
	for _, u := range over {
		u.end()
	}
}

func begin(h *sandboxpb.WriteHeader, roots *Roots) (*upload, error) {
	dir, _, err := roots.parent(string(h.Path), true)
	if err != nil {
		return nil, err
	}
	mode := h.Mode & 0o777
	if mode == 0 {
		mode = 0o644
	}
	u := &upload{id: h.UploadId, path: string(h.Path), mode: mode, dir: -1}
	fd, err := beneath(dir, ".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		u.name = ".safebeam-upload-" + randomName()
		fd, err = beneath(dir, u.name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600)
		u.dir = dir
	} else {
		unix.Close(dir)
	}
	if err != nil {
		if u.dir >= 0 {
			unix.Close(u.dir)
		}
		return nil, err
	}
	u.file = os.NewFile(uintptr(fd), string(h.Path))
	return u, nil
}

// commit puts the file in its place: it gets a name beside its own, if it has
// none, and is renamed over it.
func (u *upload) commit(roots *Roots) (*sandboxpb.FileInfo, error) {
	if err := u.file.Truncate(int64(u.received)); err != nil {
		return nil, err
	}
	if err := u.file.Chmod(os.FileMode(u.mode)); err != nil {
		return nil, err
	}
	if err := u.file.Sync(); err != nil {
		return nil, err
	}
	dir, name, err := roots.parent(u.path, true)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	from, temporary := u.dir, u.name
	if from < 0 {
		from, temporary = dir, ".safebeam-upload-"+randomName()
		err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(u.file.Fd())), dir, temporary, unix.AT_SYMLINK_FOLLOW)
		if err != nil {
			return nil, err
		}
	} else if err := u.isStill(from, temporary); err != nil {
		return nil, err
	}
	if err := unix.Renameat(from, temporary, dir, name); err != nil {
		unix.Unlinkat(from, temporary, 0)
		return nil, err
	}
	u.name, u.dir = "", closed(u.dir)
	return statAt(dir, name)
}

// isStill makes sure that the guest has put nothing else where the upload was.
func (u *upload) isStill(dir int, name string) error {
	var ours, there unix.Stat_t
	if err := unix.Fstat(int(u.file.Fd()), &ours); err != nil {
		return err
	}
	if err := unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if ours.Dev != there.Dev || ours.Ino != there.Ino {
		return &outsideError{u.path, "its upload was replaced"}
	}
	return nil
}

func closed(fd int) int {
	if fd >= 0 {
		unix.Close(fd)
	}
	return -1
}

func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.close()
}

// close frees everything; the caller has locked the upload, or owns it.
func (u *upload) close() {
	if u.gone {
		return
	}
	u.gone = true
	u.file.Close()
	if u.dir >= 0 {
		unix.Unlinkat(u.dir, u.name, 0)
		u.dir = closed(u.dir)
	}
}

func randomName() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
