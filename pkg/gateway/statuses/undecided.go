// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package statuses

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Undecided reports whether a write that failed with err may yet be made: whoever
// it was sent to has not said what became of it. What is read of the object at once
// decides nothing then. Of any other error a read tells whether the write was made.
func Undecided(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	code := status.Code(err)
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		code = etcd.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
