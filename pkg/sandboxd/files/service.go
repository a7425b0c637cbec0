// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// maxCalls bounds the calls that work on the disk at one time: each may hold a
// thread. More of them wait.
const maxCalls = 8

// Service serves sandbox.v1.Files.
type Service struct {
	sandboxpb.UnimplementedFilesServer
	roots   atomic.Pointer[Roots]
	uploads *uploads
	calls   chan struct{}
}

// NewService serves what is beneath roots.
func NewService(roots *Roots) *Service {
	s := &Service{uploads: newUploads(), calls: make(chan struct{}, maxCalls)}
	s.roots.Store(roots)
	return s
}

// SetRoots replaces the roots and closes the old ones.
func (s *Service) SetRoots(roots *Roots) {
	s.roots.Swap(roots).Close()
}

// Run drops uploads that nobody goes on with, until ctx is over.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(uploadIdle / 10)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.uploads.expire(time.Now())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close drops uploads and roots.
func (s *Service) Close() {
	s.uploads.expire(time.Now().Add(2 * uploadIdle))
	s.roots.Load().Close()
}

// enter waits for its turn.
func (s *Service) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.calls <- struct{}{}:
		return func() { <-s.calls }, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// Stat implements sandbox.v1.Files. It tells of a link, and does not follow it.
func (s *Service) Stat(ctx context.Context, r *sandboxpb.StatRequest) (*sandboxpb.FileInfo, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	info, err := s.stat(string(r.Path))
	return info, toStatus(string(r.Path), err)
}

func (s *Service) stat(path string) (*sandboxpb.FileInfo, error) {
	roots := s.roots.Load()
	dir, name, err := roots.parent(path, false)
	if _, isRoot := err.(*outsideError); isRoot {
		// A root has no parent that is ours.
		fd, err := roots.open(path, unix.O_PATH, 0)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, err
		}
		return fileInfo(filepath.Base(filepath.Clean(path)), &st, ""), nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	return statAt(dir, name)
}

func statAt(dir int, name string) (*sandboxpb.FileInfo, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	target := ""
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, _ = readLink(dir, name)
	}
	return fileInfo(name, &st, target), nil
}

func readLink(dir int, name string) (string, error) {
	buffer := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(dir, name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

func fileInfo(name string, st *unix.Stat_t, target string) *sandboxpb.FileInfo {
	info := &sandboxpb.FileInfo{
		Name: []byte(name), Size: uint64(st.Size), Mode: st.Mode & 0o7777,
		ModifiedUnixNanos: st.Mtim.Nano(), LinkTarget: []byte(target),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		info.Type = sandboxpb.FileInfo_FILE
	case unix.S_IFDIR:
		info.Type = sandboxpb.FileInfo_DIRECTORY
	case unix.S_IFLNK:
		info.Type = sandboxpb.FileInfo_SYMLINK
	default:
		info.Type = sandboxpb.FileInfo_OTHER
	}
	return info
}

// MakeDir implements sandbox.v1.Files.
func (s *Service) MakeDir(ctx context.Context, r *sandboxpb.MakeDirRequest) (*sandboxpb.FileInfo, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	info, err := s.makeDir(r)
	return info, toStatus(string(r.Path), err)
}

func (s *Service) makeDir(r *sandboxpb.MakeDirRequest) (*sandboxpb.FileInfo, error) {
	dir, name, err := s.roots.Load().parent(string(r.Path), r.Parents)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	mode := r.Mode & 0o777
	if mode == 0 {
		mode = 0o755
	}
	if err := unix.Mkdirat(dir, name, mode); err != nil && !(r.Parents && err == unix.EEXIST) {
		return nil, err
	}
	info, err := statAt(dir, name)
	if err == nil && info.Type != sandboxpb.FileInfo_DIRECTORY {
		return nil, unix.EEXIST
	}
	return info, err
}

// Read implements sandbox.v1.Files.
func (s *Service) Read(r *sandboxpb.ReadRequest, stream sandboxpb.Files_ReadServer) error {
	leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	return toStatus(string(r.Path), s.read(r, stream))
}

// readChunk is the size of a piece of a file in a message, which with its envelope
// fits the 32 KiB that gRPC has buffers for; the next size it has is 1 MiB.
const readChunk = 32<<10 - 128

func (s *Service) read(r *sandboxpb.ReadRequest, stream sandboxpb.Files_ReadServer) error {
	// Not blocking: a pipe with the file's name would hold us for ever.
	fd, err := s.roots.Load().open(string(r.Path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errNotRegular
	}
	size := uint64(st.Size)
	if r.Offset > size {
		return status.Errorf(codes.OutOfRange, "%s: offset %d is beyond the end at %d", string(r.Path), r.Offset, size)
	}
	left := size - r.Offset
	if r.Length != 0 {
		left = min(left, r.Length)
	}
	response := &sandboxpb.ReadResponse{Info: fileInfo(filepath.Base(filepath.Clean(string(r.Path))), &st, "")}
	buffer := make([]byte, min(left, readChunk))
	offset := int64(r.Offset)
	for {
		n, err := preadFull(fd, buffer[:min(left, uint64(len(buffer)))], offset)
		if err != nil {
			return err
		}
		response.Data = buffer[:n]
		if err := stream.Send(response); err != nil {
			return err
		}
		response = &sandboxpb.ReadResponse{}
		left -= uint64(n)
		offset += int64(n)
		if left == 0 {
			return nil
		}
		if n == 0 {
			return status.Errorf(codes.Aborted, "%s: became shorter while it was read", string(r.Path))
		}
	}
}

func preadFull(fd int, p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(fd, p[n:], offset+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}
