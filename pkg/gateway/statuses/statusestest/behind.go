// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package statusestest has the worst that storages do to those who write through
// them. Behind is the watch cache's: the current version of an object that it proposes
// is one that its writer has long left behind. Unsure is a network's: a write that
// failed was made after all, or will be.
package statusestest

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// Behind returns inner as a cacher serves it that is behind: every second update
// of an object starts from the object as it was created, whatever the writer
// proposes, the others from the writer's proposal.
func Behind(inner storage.Interface) storage.Interface {
	return &behind{Interface: inner, created: map[string]runtime.Object{}, updates: map[string]int{}}
}

type behind struct {
	storage.Interface

	mu      sync.Mutex
	created map[string]runtime.Object
	updates map[string]int
}

func (b *behind) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if out == nil {
		out = obj.DeepCopyObject()
	}
	if err := b.Interface.Create(ctx, key, obj, out, ttl); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.created[key] = out.DeepCopyObject()
	return nil
}

func (b *behind) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	b.mu.Lock()
	if old := b.created[key]; old != nil {
		if b.updates[key]++; b.updates[key]%2 == 1 {
			cached = old.DeepCopyObject()
		}
	}
	b.mu.Unlock()
	return b.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, update, cached)
}
