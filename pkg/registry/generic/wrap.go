// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// Wrapped puts something around the storage of a resource, whose objects are
// kept below prefix: above the watch cache and below the dry-run layer. It is
// done before the generic store gets the storage, which counts its objects
// from then on in a goroutine of its own.
func Wrapped(options generic.RESTOptionsGetter, wrap func(inner storage.Interface, prefix string) storage.Interface) generic.RESTOptionsGetter {
	return wrapped{options, wrap}
}

type wrapped struct {
	generic.RESTOptionsGetter
	wrap func(inner storage.Interface, prefix string) storage.Interface
}

func (w wrapped) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := w.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	decorate := options.Decorator
	options.Decorator = func(
		config *storagebackend.ConfigForResource, prefix string,
		key func(runtime.Object) (string, error),
		newFunc, newListFunc func() runtime.Object,
		attrs storage.AttrFunc, trigger storage.IndexerFuncs, indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		inner, destroy, err := decorate(config, prefix, key, newFunc, newListFunc, attrs, trigger, indexers)
		if err != nil {
			return nil, nil, err
		}
		return w.wrap(inner, prefix), destroy, nil
	}
	return options, nil
}
