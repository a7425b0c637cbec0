// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checktest tests validation by breaking valid objects in one place
// each.
package checktest

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A Breach is one way to make a valid object invalid, and the one error that
// it must be answered with.
type Breach[T any] struct {
	name   string
	breaks func(*T)
	typ    field.ErrorType
	field  string
	says   string
}

// By describes a breach: the error must be of the type, about the field, and
// say among other things says, which is the way out.
func By[T any](name string, breaks func(*T), typ field.ErrorType, path, says string) Breach[T] {
	return Breach[T]{name: name, breaks: breaks, typ: typ, field: path, says: says}
}

// Refuses wants an object to be valid until it is broken, and each breach to
// be answered with its error alone.
func Refuses[T any](t *testing.T, valid func() *T, validate func(*T) field.ErrorList, breaches ...Breach[T]) {
	t.Helper()
	if errs := validate(valid()); len(errs) > 0 {
		t.Fatalf("the object is invalid before it is broken: %v", errs)
	}
	for _, b := range breaches {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			object := valid()
			b.breaks(object)
			errs := validate(object)
			if len(errs) != 1 {
				t.Fatalf("got %d errors, want one: %v", len(errs), errs)
			}
			if err := errs[0]; err.Type != b.typ || err.Field != b.field || !strings.Contains(err.Error(), b.says) {
				t.Errorf("got %s %q: %v\nwant %s %q: …%s…", err.Type, err.Field, err, b.typ, b.field, b.says)
			}
		})
	}
}
