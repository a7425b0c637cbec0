// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package statusestest

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// late is when a write is made that was said to have timed out.
const late = 3 * time.Millisecond

// Unsure returns inner as it is behind a network: of five writes, one is made and
// said to have timed out, and one is said to have timed out and made later, if what
// is stored is still what it was made from. The test waits for it.
func Unsure(t testing.TB, inner storage.Interface) *Network {
	u := &Network{Interface: inner}
	t.Cleanup(u.Landed)
	return u
}

// Network is between a storage and who writes through it.
type Network struct {
	storage.Interface

	mu     sync.Mutex
	writes int
	// late is held for reading by the writes that are yet to be made.
	late sync.RWMutex
}

// Landed returns once the writes are made that were under way. A test whose clock
// is its own calls it before it lets time pass: no write is under way for so long
// that nobody waits for it any more.
func (u *Network) Landed() {
	u.late.Lock()
	defer u.late.Unlock()
}

type fate int

const (
	answered fate = iota
	unanswered
	delayed
)

func (u *Network) fate() fate {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writes++
	return []fate{answered, answered, unanswered, answered, delayed}[u.writes%5]
}

// lost is the answer that a write never gets.
func lost(err error) error {
	if err == nil {
		err = rpctypes.ErrTimeout
	}
	return err
}

func (u *Network) later(ctx context.Context, write func(ctx context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	u.late.RLock()
	go func() {
		defer u.late.RUnlock()
		time.Sleep(late)
		_ = write(ctx)
	}()
	return rpctypes.ErrTimeout
}

func (u *Network) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	switch u.fate() {
	case unanswered:
		return lost(u.Interface.Create(ctx, key, obj, out, ttl))
	case delayed:
		obj = obj.DeepCopyObject()
		return u.later(ctx, func(ctx context.Context) error { return u.Interface.Create(ctx, key, obj, nil, ttl) })
	}
	return u.Interface.Create(ctx, key, obj, out, ttl)
}

func (u *Network) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	switch u.fate() {
	case unanswered:
		return lost(u.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, update, cached))
	case delayed:
		return u.updateLater(ctx, key, out, ignoreNotFound, preconditions, update)
	}
	return u.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, update, cached)
}

func (u *Network) updateLater(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc) error {
	versioner := storage.APIObjectVersioner{}
	if err := u.Get(ctx, key, storage.GetOptions{IgnoreNotFound: ignoreNotFound}, out); err != nil {
		return err
	}
	if preconditions != nil {
		if err := preconditions.Check(key, out); err != nil {
			return err
		}
	}
	version, err := versioner.ObjectResourceVersion(out)
	if err != nil {
		return err
	}
	after, _, err := update(out.DeepCopyObject(), storage.ResponseMeta{ResourceVersion: version})
	if err != nil {
		return err
	}
	after, like := after.DeepCopyObject(), out.DeepCopyObject()
	return u.later(ctx, func(ctx context.Context) error {
		return u.Interface.GuaranteedUpdate(ctx, key, like, ignoreNotFound, nil,
			func(now runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
				if current, _ := versioner.ObjectResourceVersion(now); current != version {
					return nil, nil, storage.NewResourceVersionConflictsError(key, int64(version))
				}
				return after, nil, nil
			}, nil)
	})
}

func (u *Network) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions, validate storage.ValidateObjectFunc, cached runtime.Object, options storage.DeleteOptions) error {
	switch u.fate() {
	case unanswered:
		return lost(u.Interface.Delete(ctx, key, out, preconditions, validate, cached, options))
	case delayed:
		like := out.DeepCopyObject()
		return u.later(ctx, func(ctx context.Context) error {
			return u.Interface.Delete(ctx, key, like, preconditions, storage.ValidateAllObjectFunc, nil, options)
		})
	}
	return u.Interface.Delete(ctx, key, out, preconditions, validate, cached, options)
}
