// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// ReadTar implements sandbox.v1.Files.
func (s *Service) ReadTar(r *sandboxpb.ReadTarRequest, stream sandboxpb.Files_ReadTarServer) error {
	leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	return toStatus(string(r.Path), s.readTar(string(r.Path), stream))
}

func (s *Service) readTar(path string, stream sandboxpb.Files_ReadTarServer) error {
	roots := s.roots.Load()
	out := bufio.NewWriterSize(sender(func(p []byte) error { return stream.Send(&sandboxpb.ReadTarResponse{Data: p}) }), readChunk)
	p := &packer{ctx: stream.Context(), tar: tar.NewWriter(out), buffer: make([]byte, 64<<10)}
	info, err := s.stat(path)
	if err != nil {
		return err
	}
	if info.Type == sandboxpb.FileInfo_DIRECTORY {
		fd, err := roots.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		if err := p.directory(fd, "", 0); err != nil {
			return err
		}
	} else {
		dir, name, err := roots.parent(path, false)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		if err := p.entry(dir, name, name, 0); err != nil {
			return err
		}
	}
	if err := p.tar.Close(); err != nil {
		return err
	}
	return out.Flush()
}

type sender func([]byte) error

func (s sender) Write(p []byte) (int, error) {
	if err := s(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// packer writes a tree as it finds it. What changes meanwhile is as it is when its
// turn comes; what goes away is left out.
type packer struct {
	ctx    context.Context
	tar    *tar.Writer
	buffer []byte
}

// directory packs what is in fd, which it closes.
func (p *packer) directory(fd int, prefix string, depth int) error {
	dir := os.NewFile(uintptr(fd), prefix)
	defer dir.Close()
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep: %w", prefix, maxDepth, unix.ENAMETOOLONG)
	}
	for {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(listBatch)
		for _, name := range names {
			if err := p.entry(fd, name, filepath.Join(prefix, name), depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *packer) entry(dir int, name, path string, depth int) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	header := &tar.Header{Name: path, Mode: int64(st.Mode & 0o777), ModTime: time.Unix(st.Mtim.Unix())}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		header.Typeflag, header.Name = tar.TypeDir, path+"/"
		if err := p.tar.WriteHeader(header); err != nil {
			return err
		}
		fd, err := beneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return p.directory(fd, path, depth+1)
	case unix.S_IFLNK:
		header.Typeflag = tar.TypeSymlink
		if header.Linkname, err = readLink(dir, name); err != nil {
			return nil
		}
		return p.tar.WriteHeader(header)
	case unix.S_IFREG:
		return p.file(dir, name, header)
	}
	return nil // a socket, pipe or device means nothing elsewhere
}

// file packs exactly the size that it had when it was opened: a file that grows is
// cut, one that shrinks is filled with zeros, as tar has it.
func (p *packer) file(dir int, name string, header *tar.Header) error {
	fd, err := beneath(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", header.Name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, st.Size
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	for offset := int64(0); offset < st.Size; {
		want := p.buffer[:min(int64(len(p.buffer)), st.Size-offset)]
		n, err := preadFull(fd, want, offset)
		if err != nil {
			return err
		}
		clear(want[n:])
		if _, err := p.tar.Write(want); err != nil {
			return err
		}
		offset += int64(len(want))
	}
	return nil
}
