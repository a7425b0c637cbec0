// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// maxDepth bounds every walk: one descriptor is open for each level.
const maxDepth = 200

// Delete implements sandbox.v1.Files. A link is deleted, not what it points to.
func (s *Service) Delete(ctx context.Context, r *sandboxpb.DeleteRequest) (*sandboxpb.DeleteResponse, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	dir, name, err := s.roots.Load().parent(string(r.Path), false)
	if err != nil {
		return nil, toStatus(string(r.Path), err)
	}
	defer unix.Close(dir)
	if err := remove(ctx, dir, name, r.Recursive, 0); err != nil {
		return nil, toStatus(string(r.Path), err)
	}
	return &sandboxpb.DeleteResponse{}, nil
}

func remove(ctx context.Context, dir int, name string, recursive bool, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	if !recursive || !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if depth >= maxDepth {
		return unix.ENAMETOOLONG
	}
	fd, err := beneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	inside := os.NewFile(uintptr(fd), name)
	defer inside.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := inside.Readdirnames(256)
		if len(names) == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				break
			}
			return err
		}
		for _, n := range names {
			if err := remove(ctx, fd, n, true, depth+1); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		// What was deleted moves the position of some file systems.
		if _, err := inside.Seek(0, 0); err != nil {
			return err
		}
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}
