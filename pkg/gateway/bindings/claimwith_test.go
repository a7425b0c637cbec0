// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/clock"
)

// unordered is a store of another process, which cannot order what it is sent.
type unordered struct{ apistorage.Interface }

// onBothOrders runs a test on a store that keeps the order of writes, and on one
// that does not.
func onBothOrders(t *testing.T, test func(t *testing.T, s *Store, again restart)) {
	for name, ordered := range map[string]bool{"ordered": true, "unordered": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, again := newTestStore(t, clock.RealClock{})
			if _, is := s.storage.(ordering); !is {
				t.Fatal("the embedded store cannot order writes")
			}
			if !ordered {
				s.storage = unordered{s.storage}
			}
			test(t, s, again)
		})
	}
}

func warmPod(t *testing.T, s *Store) Binding {
	t.Helper()
	b := binding(owner(WarmPod, "w"))
	if err := s.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAClaimAndTheOtherWriteAreBothMade(t *testing.T) {
	t.Parallel()
	onBothOrders(t, func(t *testing.T, s *Store, again restart) {
		b, to := warmPod(t, s), owner(Sandbox, "s")
		made := 0
		for range 2 { // to say it again is no error
			if err := s.ClaimWith(t.Context(), b.PodUID, b.Owner, to, func() error { made++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if made != 2 {
			t.Errorf("the other write was made %d times of 2", made)
		}
		// A write after the claim is durable no earlier than that.
		later := warmPod(t, s)
		for _, s := range []*Store{s, again()} {
			if got, ok := s.ByPod(b.PodUID); !ok || got.Owner != to {
				t.Errorf("the pod is %+v, %t", got, ok)
			}
			if _, ok := s.ByPod(later.PodUID); !ok {
				t.Error("what came later is not there")
			}
		}
	})
}

func TestAnOtherWriteThatFailsLeavesTheSandboxWithoutAPod(t *testing.T) {
	t.Parallel()
	onBothOrders(t, func(t *testing.T, s *Store, again restart) {
		b, to, refused := warmPod(t, s), owner(Sandbox, "s"), errors.New("refused")
		if err := s.ClaimWith(t.Context(), b.PodUID, b.Owner, to, func() error { return refused }); !errors.Is(err, refused) {
			t.Fatalf("got %v", err)
		}
		if err := s.Drop(t.Context(), b.PodUID); err != nil { // as who failed has to
			t.Fatal(err)
		}
		for _, s := range []*Store{s, again()} {
			if got, ok := s.ByOwner(to.UID); ok {
				t.Errorf("the sandbox has %+v", got)
			}
			if got, ok := s.ByPod(b.PodUID); ok {
				t.Errorf("the dropped pod is %+v", got)
			}
		}
	})
}

func TestAClaimThatIsRefusedIsAnErrorWhateverTheOtherWriteSays(t *testing.T) {
	t.Parallel()
	onBothOrders(t, func(t *testing.T, s *Store, _ restart) {
		b := warmPod(t, s)
		stranger, to := owner(WarmPod, "stranger"), owner(Sandbox, "s")
		for what, claim := range map[string]struct {
			pod  types.UID
			from Owner
			is   func(error) bool
		}{
			"a pod of another one":    {b.PodUID, stranger, apierrors.IsConflict},
			"a pod that is not there": {uid(), b.Owner, apierrors.IsNotFound},
		} {
			if err := s.ClaimWith(t.Context(), claim.pod, claim.from, to, func() error { return nil }); !claim.is(err) {
				t.Errorf("%s: got %v", what, err)
			}
			if got, ok := s.ByOwner(to.UID); ok {
				t.Errorf("%s: the sandbox has %+v", what, got)
			}
		}
		if got, ok := s.ByPod(b.PodUID); !ok || got != b {
			t.Errorf("the pod is %+v, %t", got, ok)
		}
	})
}
