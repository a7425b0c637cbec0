// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Check is a condition on the object of a request that needs more than the
// object: other objects, or what the user may do.
type Check func(ctx context.Context, obj runtime.Object) error

// OnCreate adds a check to those that admission makes. It runs after
// validation, on a dry run too.
func OnCreate(then rest.ValidateObjectFunc, check Check) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		if err := check(ctx, obj); err != nil {
			return err
		}
		if then == nil {
			return nil
		}
		return then(ctx, obj)
	}
}

// OnUpdate is OnCreate for updates; the check sees the new object and the old
// one.
func OnUpdate(then rest.ValidateObjectUpdateFunc, check func(ctx context.Context, obj, old runtime.Object) error) rest.ValidateObjectUpdateFunc {
	return func(ctx context.Context, obj, old runtime.Object) error {
		if err := check(ctx, obj, old); err != nil {
			return err
		}
		if then == nil {
			return nil
		}
		return then(ctx, obj, old)
	}
}

// Missing says that what a field names is not there, and what to do about it.
func Missing(path *field.Path, name, wayOut string) *field.Error {
	err := field.NotFound(path, name)
	err.Detail = wayOut
	return err
}
