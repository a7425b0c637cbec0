// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// toStatus says over gRPC what failed on which path.
func toStatus(path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	var outside *outsideError
	if errors.As(err, &outside) {
		return status.Error(codes.PermissionDenied, outside.Error())
	}
	code, what := codes.Internal, err.Error()
	switch {
	case errors.Is(err, unix.ENOENT):
		code = codes.NotFound
	case errors.Is(err, unix.ELOOP):
		code, what = codes.PermissionDenied, "a symbolic link is not followed"
	case errors.Is(err, unix.EXDEV):
		code, what = codes.PermissionDenied, "leads out of its writable path"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		code = codes.PermissionDenied
	case errors.Is(err, unix.EEXIST):
		code = codes.AlreadyExists
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.ETXTBSY), errors.Is(err, errNotRegular):
		code = codes.FailedPrecondition
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG), errors.Is(err, unix.ENOMEM):
		code = codes.ResourceExhausted
	case errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		code = codes.InvalidArgument
	case errors.Is(err, unix.EAGAIN):
		code, what = codes.Aborted, "the directory is being renamed all the time"
	}
	return status.Errorf(code, "%s: %s", path, what)
}

var errNotRegular = errors.New("is not a regular file")
