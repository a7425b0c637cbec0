// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// MaxPart bounds one part of an upload.
const MaxPart = 16 << 20

// Write implements sandbox.v1.Files.
func (s *Service) Write(stream sandboxpb.Files_WriteServer) error {
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
	response, err := s.write(header, stream)
	if err != nil {
		return toStatus(string(header.Path), err)
	}
	return stream.SendAndClose(response)
}

func (s *Service) write(h *sandboxpb.WriteHeader, stream sandboxpb.Files_WriteServer) (*sandboxpb.WriteResponse, error) {
	roots := s.roots.Load()
	if h.Abort {
		s.uploads.drop(h.UploadId)
		return &sandboxpb.WriteResponse{}, nil
	}
	u, err := s.uploads.take(h, roots)
	if err != nil {
		return nil, err
	}
	defer u.mu.Unlock()
	if h.Offset > u.received {
		return nil, status.Errorf(codes.OutOfRange, "%s: a part at %d leaves a hole, %d bytes have arrived", string(h.Path), h.Offset, u.received)
	}
	if err := receivePart(u, h.Offset, stream); err != nil {
		var st interface{ GRPCStatus() *status.Status }
		if !errors.As(err, &st) {
			// The disk is full or broken: what there is of the file makes it worse.
			s.uploads.discard(u)
		}
		return nil, err
	}
	if !h.Commit {
		return &sandboxpb.WriteResponse{Received: u.received}, nil
	}
	if u.received != h.Total {
		return nil, status.Errorf(codes.FailedPrecondition, "%s: %d of %d bytes have arrived", string(h.Path), u.received, h.Total)
	}
	info, err := u.commit(roots)
	if err != nil {
		return nil, err
	}
	received := u.received
	s.uploads.discard(u)
	return &sandboxpb.WriteResponse{Received: received, Info: info}, nil
}

// receivePart writes a part at its place.
func receivePart(u *upload, offset uint64, stream sandboxpb.Files_WriteServer) error {
	size := 0
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		data := request.GetData()
		if size += len(data); size > MaxPart {
			return status.Errorf(codes.InvalidArgument, "a part has at most %d bytes", MaxPart)
		}
		for len(data) > 0 {
			n, err := u.file.WriteAt(data, int64(offset))
			if err != nil {
				return err
			}
			offset += uint64(n)
			data = data[n:]
		}
		u.received = max(u.received, offset)
	}
}
