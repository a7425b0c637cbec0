// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// NameTooLarge makes the store's refusal of an object that is too large for it
// a 413. A request may be larger than what the store takes: much of it may
// never get there.
func NameTooLarge(inner storage.Interface, _ string) storage.Interface {
	return &sized{inner}
}

type sized struct{ storage.Interface }

func (s *sized) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	return tooLarge(s.Interface.Create(ctx, key, obj, out, ttl))
}

func (s *sized) GuaranteedUpdate(ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	return tooLarge(s.Interface.GuaranteedUpdate(ctx, key, destination, ignoreNotFound, preconditions, update, cached))
}

func tooLarge(err error) error {
	if errors.Is(err, rpctypes.ErrRequestTooLarge) {
		return apierrors.NewRequestEntityTooLargeError("the object is larger than the store takes: " + err.Error())
	}
	return err
}
