// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package statusestest

import (
	"context"
	"reflect"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apiserver/pkg/storage"
)

// Shared returns inner as a cacher serves it that is one write behind: what is read
// at any version shares its slices and pointers with what is held for everybody. The
// test fails if somebody has changed that.
func Shared(t testing.TB, inner storage.Interface) storage.Interface {
	s := &shared{Interface: inner, held: map[string][]runtime.Object{}}
	t.Cleanup(func() {
		for _, check := range s.checks {
			check(t)
		}
	})
	return s
}

type shared struct {
	storage.Interface

	mu sync.Mutex
	// held are the last two versions of an object.
	held   map[string][]runtime.Object
	checks []func(testing.TB)
}

func (s *shared) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if out == nil {
		out = obj.DeepCopyObject()
	}
	err := s.Interface.Create(ctx, key, obj, out, ttl)
	if err == nil {
		s.hold(key, out)
	}
	return err
}

func (s *shared) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	err := s.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, update, cached)
	if err == nil {
		s.hold(key, out)
	}
	return err
}

func (s *shared) hold(key string, obj runtime.Object) {
	held, was := obj.DeepCopyObject(), obj.DeepCopyObject()
	s.mu.Lock()
	defer s.mu.Unlock()
	if versions := s.held[key]; len(versions) > 0 {
		s.held[key] = []runtime.Object{versions[len(versions)-1], held}
	} else {
		s.held[key] = []runtime.Object{held}
	}
	s.checks = append(s.checks, func(t testing.TB) {
		if !equality.Semantic.DeepEqual(held, was) {
			t.Errorf("somebody has changed what the cache holds of %s:\n%s", key, diff.Diff(was, held))
		}
	})
}

func (s *shared) Get(ctx context.Context, key string, options storage.GetOptions, into runtime.Object) error {
	s.mu.Lock()
	held := s.held[key]
	s.mu.Unlock()
	if len(held) == 0 || options.ResourceVersion != "0" {
		return s.Interface.Get(ctx, key, options, into)
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(held[0]).Elem())
	return nil
}
