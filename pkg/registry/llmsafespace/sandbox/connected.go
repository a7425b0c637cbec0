// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// Acquirer hands out connected sandboxes.
type Acquirer interface {
	// Acquire returns the connection of the sandbox with that UID, which counts
	// as active until release is called. Its errors are API statuses: 409 if it
	// is not Running, 503 if it is not connected. The object is shared: it must
	// not be changed.
	Acquire(ctx context.Context, sandbox *v1.Sandbox) (connected *sandboxes.Sandbox, release func(), err error)
}

// connected finds the sandbox of a request and acquires it.
type connected struct {
	sandboxes rest.Getter
	acquirer  Acquirer
}

// acquire looks into the watch cache first, which costs no decoding. That it
// lags behind shows in a sandbox that is not Running there: then the store is
// asked. The other way round, whoever acquires a sandbox that has ended since is
// refused by the Acquirer, which goes by bindings and not by status.
func (c connected) acquire(ctx context.Context, name string) (*sandboxes.Sandbox, func(), error) {
	obj, err := c.sandboxes.Get(ctx, name, &metav1.GetOptions{ResourceVersion: "0"})
	if err != nil || obj.(*v1.Sandbox).Status.Phase != v1.SandboxRunning {
		obj, err = c.sandboxes.Get(ctx, name, &metav1.GetOptions{})
	}
	if err != nil {
		return nil, nil, err
	}
	return c.acquirer.Acquire(ctx, obj.(*v1.Sandbox))
}

// statusOf makes an error of a call on a sandbox one of the API.
func statusOf(name string, err error) error {
	resource := v1.Resource("sandboxes")
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return err
	case errors.Is(err, sandboxes.ErrBusy):
		return apierrors.NewTooManyRequests(err.Error(), retryAfterSeconds)
	case errors.Is(err, sandboxes.ErrGone):
		return apierrors.NewConflict(resource, name, errors.New("the sandbox is over"))
	case errors.Is(err, sandboxes.ErrNotConnected), errors.Is(err, sandboxes.ErrLost):
		return unavailable(err.Error())
	case errors.Is(err, sandboxes.ErrMisbehaved):
		return apierrors.NewInternalError(err)
	}
	s, ok := grpcstatus.FromError(err)
	if !ok {
		return apierrors.NewInternalError(err)
	}
	message := s.Message()
	switch s.Code() {
	case codes.InvalidArgument:
		return apierrors.NewBadRequest(message)
	case codes.ResourceExhausted:
		return apierrors.NewTooManyRequests(message, retryAfterSeconds)
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted:
		return unavailable(message)
	}
	return apierrors.NewInternalError(fmt.Errorf("%s: %s", s.Code(), message))
}

// retryAfterSeconds is what a client is told to wait for a sandbox that is busy
// or away.
const retryAfterSeconds = 1

func unavailable(message string) error {
	err := apierrors.NewServiceUnavailable(message)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return err
}
