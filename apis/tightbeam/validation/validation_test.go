// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// A breach is one way to make a valid object invalid, and the one error that
// it must be answered with.
type breach[T any] struct {
	name   string
	break_ func(*T)
	typ    field.ErrorType
	field  string
	says   string // part of the error: the way out
}

func (b breach[T]) run(t *testing.T, valid func() *T, validate func(*T) field.ErrorList) {
	t.Run(b.name, func(t *testing.T) {
		t.Parallel()
		object := valid()
		if errs := validate(object); len(errs) > 0 {
			t.Fatalf("the object is invalid before it is broken: %v", errs)
		}
		b.break_(object)
		wantOne(t, validate(object), b.typ, b.field, b.says)
	})
}

func wantOne(t *testing.T, errs field.ErrorList, typ field.ErrorType, path, says string) {
	t.Helper()
	if len(errs) != 1 {
		t.Fatalf("got %d errors, want one: %v", len(errs), errs)
	}
	if err := errs[0]; err.Type != typ || err.Field != path || !strings.Contains(err.Error(), says) {
		t.Errorf("got %s %q: %v\nwant %s %q: …%s…", err.Type, err.Field, err, typ, path, says)
	}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "default"}
}

// raw is JSON as the server decodes it.
func raw(json string) *runtime.RawExtension {
	return &runtime.RawExtension{Raw: []byte(json)}
}

// served gives an object the defaults that the server gives it.
func served[T runtime.Object](object T) T {
	scheme := runtime.NewScheme()
	if err := v1.Install(scheme); err != nil {
		panic(err)
	}
	scheme.Default(object)
	return object
}
