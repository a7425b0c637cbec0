// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package statuses_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/storage"

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

func TestAWriteIsUndecidedAsLongAsNobodyHasAnswered(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		context.DeadlineExceeded, context.Canceled, rpctypes.ErrTimeout, rpctypes.ErrLeaderChanged,
		rpctypes.ErrTimeoutDueToConnectionLost, status.Error(codes.Unavailable, "the connection broke"),
	} {
		if !statuses.Undecided(fmt.Errorf("writing: %w", err)) {
			t.Errorf("decided: %v", err)
		}
	}
	for _, err := range []error{
		storage.NewKeyExistsError("/turns/ns/one", 1), storage.NewInvalidObjError("/turns/ns/one", "another UID"),
		apierrors.NewConflict(v1.Resource("turns"), "one", errors.New("taken")), errors.New("input/output error"),
		rpctypes.ErrRequestTooLarge, rpctypes.ErrNoSpace,
	} {
		if statuses.Undecided(fmt.Errorf("writing: %w", err)) {
			t.Errorf("undecided: %v", err)
		}
	}
}
