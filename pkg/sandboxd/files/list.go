// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"container/heap"
	"errors"
	"io"
	"os"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

const (
	// maxListed bounds one listing; more is had by another, after its last name.
	maxListed = 10000
	listBatch = 256
)

// List implements sandbox.v1.Files.
func (s *Service) List(r *sandboxpb.ListRequest, stream sandboxpb.Files_ListServer) error {
	leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	return toStatus(string(r.Path), s.list(r, stream))
}

func (s *Service) list(r *sandboxpb.ListRequest, stream sandboxpb.Files_ListServer) error {
	fd, err := s.roots.Load().open(string(r.Path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), string(r.Path))
	defer dir.Close()
	limit := int(r.Limit)
	if limit == 0 || limit > maxListed {
		limit = maxListed
	}
	names, more, err := firstNames(dir, string(r.After), limit)
	if err != nil {
		return err
	}
	response := &sandboxpb.ListResponse{}
	for _, name := range names {
		info, err := statAt(fd, name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		response.Entries = append(response.Entries, info)
		if len(response.Entries) == listBatch {
			if err := stream.Send(response); err != nil {
				return err
			}
			response = &sandboxpb.ListResponse{}
		}
	}
	response.More = more
	return stream.Send(response)
}

// firstNames are the first limit names after one, sorted. It holds no more than
// those, however large the directory is.
func firstNames(dir interface{ Readdirnames(int) ([]string, error) }, after string, limit int) (names []string, more bool, err error) {
	var kept greatestFirst
	for {
		batch, err := dir.Readdirnames(listBatch)
		for _, name := range batch {
			if name <= after {
				continue
			}
			if len(kept) < limit {
				heap.Push(&kept, name)
				continue
			}
			more = true
			if name < kept[0] {
				kept[0] = name
				heap.Fix(&kept, 0)
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(batch) == 0 {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	sort.Strings(kept)
	// A directory that changes may give a name twice.
	return slices.Compact(kept), more, nil
}

type greatestFirst []string

func (h greatestFirst) Len() int           { return len(h) }
func (h greatestFirst) Less(i, j int) bool { return h[i] > h[j] }
func (h greatestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *greatestFirst) Push(x any)        { *h = append(*h, x.(string)) }
func (h *greatestFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
