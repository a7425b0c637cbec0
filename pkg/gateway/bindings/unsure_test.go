// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	"context"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/clock"
)

// unanswered makes what it says has timed out, once.
type unanswered struct {
	storage.Interface
	said bool
}

func (u *unanswered) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	err := u.Interface.Create(ctx, key, obj, out, ttl)
	if err == nil && !u.said {
		u.said = true
		return rpctypes.ErrTimeout
	}
	return err
}

// A record that nobody knows of is somebody's pod after a restart.
func TestABindingThatNobodyAnsweredIsSaidAgainOrDropped(t *testing.T) {
	t.Parallel()
	for name, dropped := range map[string]bool{"said again": false, "dropped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, restart := newTestStore(t, clock.RealClock{})
			s.storage = &unanswered{Interface: s.storage}
			first := binding(owner(Sandbox, "box"))
			if err := s.Bind(t.Context(), first); err == nil {
				t.Fatal("bound without an answer")
			}
			if _, known := s.ByPod(first.PodUID); known {
				t.Error("served on the word of nobody")
			}
			other := binding(first.Owner)
			if err := s.Bind(t.Context(), other); !apierrors.IsConflict(err) {
				t.Errorf("a second pod of the sandbox: %v", err)
			}
			if err := s.Claim(t.Context(), first.PodUID, first.Owner, owner(Sandbox, "another")); !apierrors.IsNotFound(err) {
				t.Errorf("claimed: %v", err)
			}
			if dropped {
				if err := s.Drop(t.Context(), first.PodUID); err != nil {
					t.Fatal(err)
				}
			} else if err := s.Bind(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Store{s, restart()} {
				if got, known := s.ByOwner(first.Owner.UID); known == dropped || known && got != first {
					t.Errorf("%v, %v", got, known)
				}
			}
		})
	}
}
