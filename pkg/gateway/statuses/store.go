// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package statuses reads and writes the objects of a resource below its registry:
// what the gateway writes is the status that no client may.
//
// Its laws: reads are of what is stored now, and what they return is the caller's own,
// which what comes of the watch cache is not; a write changes no other object than
// the one it is meant for, by UID; and it starts from nothing older than what the
// writer knows, so that what a change is told of the object has all that the
// writer's own last write put there.
package statuses

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// Object is an API object with metadata.
type Object interface {
	runtime.Object
	metav1.Object
}

// pageSize is how many objects a list reads at once. A limit is also what passes
// the watch cache by as long as that is not filled.
const pageSize = 500

// Store holds the objects of one namespaced resource.
type Store[T Object] struct {
	Storage storage.Interface
	// Prefix begins with a slash and has none at its end.
	Prefix string
	// Resource names one of them in errors: "turn".
	Resource string
	New      func() T
	NewList  func() runtime.Object
}

func (s Store[T]) key(namespace, name string) string {
	return s.Prefix + "/" + namespace + "/" + name
}

// Get reads an object. Nil: there is none.
func (s Store[T]) Get(ctx context.Context, namespace, name string) (T, error) {
	object := s.New()
	err := s.Storage.Get(ctx, s.key(namespace, name), storage.GetOptions{}, object)
	if err == nil {
		return object, nil
	}
	var none T
	if storage.IsNotFound(err) {
		return none, nil
	}
	return none, fmt.Errorf("reading %s %s/%s: %w", s.Resource, namespace, name, err)
}

// Update changes the object that known is a version of, by compare-and-swap.
// change is called with what is stored, which is at least as new as known and may
// be changed, perhaps several times. Its error is returned. The error is storage's
// NotFound or InvalidObj, see Gone, if there is no object of known's name and UID.
func (s Store[T]) Update(ctx context.Context, known T, change func(T) error) (T, error) {
	updated := s.New()
	uid := known.GetUID()
	err := s.Storage.GuaranteedUpdate(ctx, s.key(known.GetNamespace(), known.GetName()), updated, false,
		&storage.Preconditions{UID: &uid},
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			object := input.(T)
			// The cacher proposes its own version rather than the caller's, and it
			// may not have seen the caller's last write. Refused, the store itself
			// is asked.
			if (storage.APIObjectVersioner{}).CompareResourceVersion(object, known) < 0 {
				return nil, nil, fmt.Errorf("%s %s/%s is stored at resource version %s, although it was at %s: the store went back in time",
					s.Resource, known.GetNamespace(), known.GetName(), object.GetResourceVersion(), known.GetResourceVersion())
			}
			return object, nil, change(object)
		}, known.DeepCopyObject())
	if err != nil {
		var none T
		return none, err
	}
	return updated, nil
}

// Gone reports whether err says that an object is no more: deleted, or replaced by
// another of the same name.
func Gone(err error) bool { return storage.IsNotFound(err) || storage.IsInvalidObj(err) }

// List reads all objects that keep wants, which must not change what it is shown.
func (s Store[T]) List(ctx context.Context, keep func(T) bool) ([]T, error) {
	var all []T
	options := storage.ListOptions{Predicate: storage.Everything, Recursive: true}
	options.Predicate.Limit = pageSize
	for {
		list := s.NewList()
		if err := s.Storage.GetList(ctx, s.Prefix+"/", options, list); err != nil {
			return nil, fmt.Errorf("listing every %s: %w", s.Resource, err)
		}
		page, err := meta.ListAccessor(list)
		if err != nil {
			return nil, err
		}
		if err := meta.EachListItem(list, func(item runtime.Object) error {
			if object := item.(T); keep(object) {
				all = append(all, object.DeepCopyObject().(T))
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if options.Predicate.Continue = page.GetContinue(); options.Predicate.Continue == "" {
			return all, nil
		}
	}
}
