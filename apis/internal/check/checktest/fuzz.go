// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package checktest

import (
	"math/rand"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
)

// Survives validates objects of any content, as a decoder may make them from
// what somebody sends: it must answer, whatever it is given.
func Survives[T any](t *testing.T, validate func(object, old *T) field.ErrorList) {
	t.Helper()
	seed := rand.Int63()
	fill := randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 4).Funcs(
		func(raw *runtime.RawExtension, c randfill.Continue) {
			documents := []string{"", "null", "{}", "[]", `"a"`, `{"type":{}}`, `{"model":null}`, "{"}
			raw.Raw = []byte(documents[c.Intn(len(documents))])
		},
		func(quantity *resource.Quantity, c randfill.Continue) {
			quantities := []string{"0", "-1", "1n", "512m", "1Gi", "99999999999999999999Ei"}
			*quantity = resource.MustParse(quantities[c.Intn(len(quantities))])
		},
		func(at *metav1.Time, c randfill.Continue) { *at = metav1.Unix(c.Int63n(1<<32), 0) },
		func(at *metav1.MicroTime, c randfill.Continue) {
			*at = metav1.NewMicroTime(metav1.Unix(c.Int63n(1<<32), 0).Time)
		},
	)
	for range 500 {
		var object, old T
		fill.Fill(&object)
		fill.Fill(&old)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Fatalf("seed %d: %v\non %+v", seed, p, object)
				}
			}()
			for _, err := range validate(&object, &old) {
				if err.Field == "" || err.Error() == "" {
					t.Fatalf("seed %d: an error that names nothing: %#v", seed, err)
				}
			}
		}()
	}
}
