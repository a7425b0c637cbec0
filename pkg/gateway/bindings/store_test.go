// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"safebeam.dev/safebeam/pkg/storage"
)

// restart closes the store, opens it again and reads what is there.
type restart func() *Store

func newTestStore(t *testing.T, c clock.PassiveClock) (*Store, restart) {
	t.Helper()
	directory := t.TempDir()
	var engine *storage.Factory
	open := func() *Store {
		if engine != nil {
			if err := engine.Close(); err != nil {
				t.Fatal(err)
			}
		}
		options := storage.NewOptions()
		options.BBolt.DataDir = directory
		var err error
		if engine, err = storage.Open(t.Context(), *options, storage.Config{Scheme: runtime.NewScheme()}); err != nil {
			t.Fatal(err)
		}
		raw, _, err := engine.Raw(storage.RawConfig{
			Resource: Resource, Prefix: ResourcePrefix, Codec: Codec(),
			NewFunc:     func() runtime.Object { return &Record{} },
			NewListFunc: func() runtime.Object { return &RecordList{} },
		})
		if err != nil {
			t.Fatal(err)
		}
		s := NewStore(raw, c)
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Cleanup(func() { _ = engine.Close() })
	return open(), open
}

func uid() types.UID { return types.UID(uuid.NewString()) }

func owner(kind, name string) Owner {
	return Owner{Kind: kind, Namespace: "ns", Name: name, UID: uid()}
}

func binding(o Owner) Binding {
	return Binding{PodUID: uid(), PodNamespace: "ns", PodName: o.Name + "-pod", Owner: o}
}

func TestABoundPodIsFoundFromBothEnds(t *testing.T) {
	t.Parallel()
	s, again := newTestStore(t, clock.RealClock{})
	b := binding(owner(Sandbox, "a"))
	for range 2 {
		if err := s.Bind(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{s, again()} {
		if got, ok := s.ByPod(b.PodUID); !ok || got != b {
			t.Errorf("%+v, %v", got, ok)
		}
		if got, ok := s.ByOwner(b.Owner.UID); !ok || got != b {
			t.Errorf("%+v, %v", got, ok)
		}
		if list, err := s.List(t.Context()); err != nil || !slices.Equal(list, []Binding{b}) {
			t.Errorf("%v, %v", list, err)
		}
		if got, err := s.Await(t.Context(), b.PodUID, time.Minute); err != nil || got == nil || *got != b {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestOneSandboxHasOnePodForLife(t *testing.T) {
	t.Parallel()
	s, again := newTestStore(t, clock.RealClock{})
	b := binding(owner(Sandbox, "a"))
	if err := s.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{s, again()} {
		other := b
		other.Owner = owner(Sandbox, "b")
		if err := s.Bind(t.Context(), other); !apierrors.IsConflict(err) {
			t.Errorf("the pod has two sandboxes: %v", err)
		}
		if err := s.Bind(t.Context(), binding(b.Owner)); !apierrors.IsConflict(err) {
			t.Errorf("the sandbox has two pods: %v", err)
		}
	}
}

func TestADroppedPodIsNobodysForGood(t *testing.T) {
	t.Parallel()
	now := clocktesting.NewFakePassiveClock(time.Now())
	s, _ := newTestStore(t, now)
	b := binding(owner(Sandbox, "a"))
	if err := s.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.DropIf(t.Context(), b.PodUID, func(o Owner) bool { return o.Name == "b" }); !apierrors.IsConflict(err) {
		t.Errorf("dropped in another's name: %v", err)
	}
	for range 2 {
		if err := s.Drop(t.Context(), b.PodUID); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Dropped(b.PodUID) {
		t.Error("nothing stands for it")
	}
	if got, err := s.Await(t.Context(), b.PodUID, time.Hour); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if err := s.Bind(t.Context(), b); !apierrors.IsConflict(err) {
		t.Errorf("it is revived: %v", err)
	}
	if err := s.Bind(t.Context(), binding(b.Owner)); !apierrors.IsConflict(err) {
		t.Errorf("its sandbox has a second pod: %v", err)
	}
	if err := s.Claim(t.Context(), b.PodUID, b.Owner, owner(Sandbox, "b")); !apierrors.IsNotFound(err) {
		t.Errorf("it is claimed: %v", err)
	}
	now.SetTime(now.Now().Add(buried))
	if err := s.Bind(t.Context(), binding(owner(Sandbox, "c"))); err != nil {
		t.Error(err)
	}
	if s.Dropped(b.PodUID) || len(s.owners) != 1 {
		t.Error("tombstones stand for ever")
	}
}

func TestAPodIsClaimedOnce(t *testing.T) {
	t.Parallel()
	s, again := newTestStore(t, clock.RealClock{})
	warm := owner(WarmPod, "w")
	b := binding(warm)
	if err := s.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var won atomic.Pointer[Owner]
	var winners atomic.Int32
	for i := range 50 {
		group.Go(func() {
			to := owner(Sandbox, fmt.Sprint("s", i))
			err := s.Claim(t.Context(), b.PodUID, warm, to)
			if err == nil {
				winners.Add(1)
				won.Store(&to)
			} else if !apierrors.IsConflict(err) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if winners.Load() != 1 {
		t.Fatalf("%d have it", winners.Load())
	}
	claimed := b
	claimed.Owner = *won.Load()
	if err := s.Claim(t.Context(), b.PodUID, warm, claimed.Owner); err != nil {
		t.Errorf("to say it again: %v", err)
	}
	if err := s.Bind(t.Context(), b); !apierrors.IsConflict(err) {
		t.Errorf("a late word takes it back: %v", err)
	}
	if err := s.DropIf(t.Context(), b.PodUID, func(o Owner) bool { return o.Kind == WarmPod }); !apierrors.IsConflict(err) {
		t.Errorf("dropped as a warm pod: %v", err)
	}
	for _, s := range []*Store{s, again()} {
		if got, ok := s.ByOwner(claimed.Owner.UID); !ok || got != claimed {
			t.Errorf("%+v, %v", got, ok)
		}
		if _, ok := s.ByOwner(warm.UID); ok {
			t.Error("the warm pod still has it")
		}
	}
}

func TestASandboxClaimsOnePod(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(t, clock.RealClock{})
	to := owner(Sandbox, "s")
	var group sync.WaitGroup
	var won atomic.Int32
	for i := range 20 {
		warm := owner(WarmPod, fmt.Sprint("w", i))
		b := binding(warm)
		if err := s.Bind(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			if s.Claim(t.Context(), b.PodUID, warm, to) == nil {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Errorf("%d pods are its", won.Load())
	}
}

func TestWhoComesEarlyWaits(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(t, clock.RealClock{})
	b := binding(owner(Sandbox, "a"))
	if got, err := s.Await(t.Context(), b.PodUID, time.Millisecond); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	told := make(chan error, 1)
	go func() {
		got, err := s.Await(t.Context(), b.PodUID, time.Minute)
		if err == nil && (got == nil || *got != b) {
			err = errors.New("not told")
		}
		told <- err
	}()
	for s.awaited.Len() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
	if s.awaited.Len() != 0 {
		t.Error("a waiter is left behind")
	}
}
