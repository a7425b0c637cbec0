// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/tools/cache"
)

// Attrs is what selectors see of an object: its labels, and these fields.
func Attrs[T metav1.Object](fieldsOf func(T) fields.Set) storage.AttrFunc {
	return func(obj runtime.Object) (labels.Set, fields.Set, error) {
		object, ok := obj.(T)
		if !ok {
			return nil, nil, fmt.Errorf("%T is not a %T", obj, object)
		}
		return object.GetLabels(), fieldsOf(object), nil
	}
}

// IndexedBy lets the watch cache find the objects of which a field has one value
// without looking at all others.
func IndexedBy[T any](name string, valueOf func(T) string) *cache.Indexers {
	return &cache.Indexers{
		storage.FieldIndex(name): func(obj any) ([]string, error) {
			object, ok := obj.(T)
			if !ok {
				return nil, fmt.Errorf("%T is not a %T", obj, object)
			}
			return []string{valueOf(object)}, nil
		},
	}
}
