// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage_test

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"k8s.io/apimachinery/pkg/runtime"
	k8sstorage "k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage"
)

// TestAnObjectThatIsTooLargeIsRefusedAndChangesNothing is about both ways in:
// an object that comes large, and one that grows, as a turn does by its answer.
func TestAnObjectThatIsTooLargeIsRefusedAndChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		f := open(t, o)
		store, _ := openModels(t, f)
		// etcd counts its request, which is the object and a little more.
		const little = 32 << 10
		fits, tooLarge := strings.Repeat("x", f.MaxObjectBytes()-little), strings.Repeat("x", f.MaxObjectBytes())

		create(t, store, model("large", fits))
		err := store.Create(t.Context(), modelPrefix+"/ns/larger", model("larger", tooLarge), nil, 0)
		if !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("an object of more than %d bytes: %v", f.MaxObjectBytes(), err)
		}

		small := create(t, store, model("small", "as it was"))
		grow := func(description string) error {
			return store.GuaranteedUpdate(t.Context(), modelPrefix+"/ns/small", &tightbeamv1.TightbeamModel{}, false, nil,
				k8sstorage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
					m := o.(*tightbeamv1.TightbeamModel)
					m.Spec.Description = description
					return m, nil
				}), nil)
		}
		if err := grow(tooLarge); !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("an object that grew to more than %d bytes: %v", f.MaxObjectBytes(), err)
		}
		items := list(t, store).Items
		if len(items) != 2 {
			t.Fatalf("%d objects", len(items))
		}
		if got := items[1]; got.Spec.Description != "as it was" || got.ResourceVersion != small.ResourceVersion {
			t.Errorf("the refused update left %.20q at %s, it was at %s", got.Spec.Description, got.ResourceVersion, small.ResourceVersion)
		}
		if err := grow(fits); err != nil {
			t.Errorf("an object that grew to what fits: %v", err)
		}
	})
}
