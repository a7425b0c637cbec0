// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	apistorage "k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/pkg/storage"
)

// current reads objects as they are stored now, as their storage does, without
// parsing what the watch cache has parsed: only the version of what is stored is
// read, and where the watch cache has that one, its object is it. Every turn reads
// its conversation and its model, with their prompts and tools.
//
// Nobody may change what it returns.
type current struct {
	objects  rest.Getter
	key      func(ctx context.Context, name string) (string, error)
	versions versions
}

// versions reads an object's metadata, at least its version.
type versions interface {
	Get(ctx context.Context, key string, options apistorage.GetOptions, into runtime.Object) error
}

func newCurrent(store *storage.Factory, objects *registry.Store) (rest.Getter, error) {
	resource := objects.DefaultQualifiedResource
	options, err := store.GetRESTOptions(resource, nil)
	if err != nil {
		return nil, err
	}
	versions, _, err := store.Raw(storage.RawConfig{
		Resource: resource, Prefix: options.ResourcePrefix, Codec: unparsed{},
		NewFunc:     func() runtime.Object { return &metav1.PartialObjectMetadata{} },
		NewListFunc: func() runtime.Object { return &metav1.PartialObjectMetadataList{} },
	})
	return current{objects, objects.KeyFunc, versions}, err
}

// Get implements rest.Getter.
func (c current) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	if options.ResourceVersion == "" {
		if cached := c.cached(ctx, name); cached != nil {
			return cached, nil
		}
	}
	return c.objects.Get(ctx, name, options)
}

// cached is the watch cache's object, nil unless it is as it is stored.
func (c current) cached(ctx context.Context, name string) runtime.Object {
	obj, err := c.objects.Get(ctx, name, &metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return nil
	}
	key, err := c.key(ctx, name)
	if err != nil {
		return nil
	}
	stored := &metav1.PartialObjectMetadata{}
	if err := c.versions.Get(ctx, key, apistorage.GetOptions{}, stored); err != nil || stored.ResourceVersion != accessor.GetResourceVersion() {
		return nil
	}
	return obj
}

// unparsed is the codec of who asks for nothing but the version, which the
// store adds.
type unparsed struct{}

func (unparsed) Decode(_ []byte, _ *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	return into, nil, nil
}

func (unparsed) Encode(runtime.Object, io.Writer) error {
	return errors.New("nothing is written without what it says")
}

func (unparsed) Identifier() runtime.Identifier { return "unparsed" }
