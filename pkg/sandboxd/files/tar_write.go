// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// WriteTar implements sandbox.v1.Files.
func (s *Service) WriteTar(stream sandboxpb.Files_WriteTarServer) error {
	leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return status.Error(codes.InvalidArgument, "the first request has the header")
	}
	response, err := s.writeTar(string(header.Path), &receiver{stream: stream})
	if err != nil {
		return toStatus(string(header.Path), err)
	}
	return stream.SendAndClose(response)
}

func (s *Service) writeTar(path string, r io.Reader) (*sandboxpb.WriteTarResponse, error) {
	roots := s.roots.Load()
	fd, rel, err := roots.split(path)
	if err != nil {
		return nil, err
	}
	dir, err := openDir(fd, rel, true)
	unix.Close(fd)
	if err != nil {
		return nil, err
	}
	u := &unpacker{root: dir, parent: -1, buffer: make([]byte, 64<<10), response: &sandboxpb.WriteTarResponse{}}
	defer u.close()
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// What is after the end of an archive is padding; the sender is not to
			// be stopped in the middle of it.
			_, err = io.Copy(io.Discard, r)
			return u.response, err
		}
		if err != nil {
			if _, ok := status.FromError(err); ok {
				return nil, err
			}
			return nil, status.Errorf(codes.InvalidArgument, "%s: no tar archive, after %d entries: %v", path, u.response.Entries, err)
		}
		if err := u.entry(header, archive); err != nil {
			return nil, fmt.Errorf("entry %q: %w", header.Name, err)
		}
		u.response.Entries++
	}
}

// receiver is the archive as it arrives.
type receiver struct {
	stream sandboxpb.Files_WriteTarServer
	rest   []byte
}

func (r *receiver) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		request, err := r.stream.Recv()
		if err != nil {
			return 0, err
		}
		r.rest = request.GetData()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// unpacker puts entries beneath root. It keeps the last entry's parent open, which
// mostly is the next one's.
type unpacker struct {
	root       int
	parent     int
	parentPath string
	buffer     []byte
	response   *sandboxpb.WriteTarResponse
}

func (u *unpacker) close() {
	unix.Close(u.root)
	u.parent = closed(u.parent)
}

// inside makes an entry's name a path beneath the root, or refuses it.
func inside(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", &outsideError{name, "is absolute"}
	}
	if err := checkPath("/" + name); err != nil {
		return "", &outsideError{name, err.(*outsideError).why}
	}
	return filepath.Clean(name), nil
}

// in opens the directory of an entry.
func (u *unpacker) in(path string) (int, error) {
	if u.parent >= 0 && u.parentPath == path {
		return u.parent, nil
	}
	u.parent = closed(u.parent)
	fd, err := openDir(u.root, path, true)
	if err != nil {
		return -1, err
	}
	u.parent, u.parentPath = fd, path
	return fd, nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	path, err := inside(h.Name)
	if err != nil {
		return err
	}
	if path == "." {
		if h.Typeflag == tar.TypeDir {
			return nil // the directory that is unpacked into is there
		}
		return &outsideError{h.Name, "is the directory itself"}
	}
	dir, err := u.in(filepath.Dir(path))
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	mode := uint32(h.Mode & 0o777)
	switch h.Typeflag {
	case tar.TypeDir:
		return makeDirAt(dir, name, mode)
	case tar.TypeReg:
		return u.file(dir, name, mode, h, content)
	case tar.TypeSymlink:
		return u.symlink(dir, name, path, h.Linkname)
	case tar.TypeLink:
		return u.link(dir, name, h.Linkname)
	}
	return status.Errorf(codes.InvalidArgument, "entries of type %q are refused", h.Typeflag)
}

func makeDirAt(dir int, name string, mode uint32) error {
	err := unix.Mkdirat(dir, name, mode)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, err := beneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchmod(fd, mode)
}

func (u *unpacker) file(dir int, name string, mode uint32, h *tar.Header, content io.Reader) error {
	if err := makeWay(dir, name); err != nil {
		return err
	}
	fd, err := beneath(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	written, err := io.CopyBuffer(sender(func(p []byte) error { return writeFull(fd, p) }), struct{ io.Reader }{content}, u.buffer)
	u.response.Bytes += uint64(written)
	if err != nil {
		unix.Unlinkat(dir, name, 0)
		return err
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return err
	}
	when := unix.NsecToTimeval(h.ModTime.UnixNano())
	return unix.Futimes(fd, []unix.Timeval{when, when})
}

// symlink allows links that stay inside, by their own words.
func (u *unpacker) symlink(dir int, name, path, target string) error {
	if strings.HasPrefix(target, "/") || strings.IndexByte(target, 0) >= 0 || target == "" {
		return &outsideError{target, "a link out of the archive's directory is refused"}
	}
	depth := strings.Count(path, "/")
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return &outsideError{target, "a link out of the archive's directory is refused"}
		}
	}
	if err := makeWay(dir, name); err != nil {
		return err
	}
	return unix.Symlinkat(target, dir, name)
}

// link makes a hard link to a file that is inside.
func (u *unpacker) link(dir int, name, target string) error {
	path, err := inside(target)
	if err != nil {
		return err
	}
	fd, err := beneath(u.root, path, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := makeWay(dir, name); err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}

// makeWay makes way for an entry: what is there and is no directory goes.
func makeWay(dir int, name string) error {
	if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func writeFull(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
