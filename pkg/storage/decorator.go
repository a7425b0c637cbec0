// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

var (
	_ generic.StorageDecorator = (*Factory)(nil).uncached
	_ generic.StorageDecorator = (*Factory)(nil).cached
)

// uncached is what a resource gets that --watch-cache-sizes takes the watch
// cache from. Its clients' watches are watches of the engine.
func (f *Factory) uncached(
	config *storagebackend.ConfigForResource,
	resourcePrefix string,
	_ func(obj runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object,
	_ storage.AttrFunc,
	_ storage.IndexerFuncs,
	_ *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	uncached := *config
	uncached.Codec = DecodeOnce(config.Codec)
	return f.open(uncached, newFunc, newListFunc, resourcePrefix)
}

// cached puts Kubernetes' watch cache on top. It is registry.StorageWithCacher
// with the engine in place of its fixed choice of etcd.
func (f *Factory) cached(
	config *storagebackend.ConfigForResource,
	resourcePrefix string,
	keyFunc func(obj runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object,
	getAttrs storage.AttrFunc,
	triggers storage.IndexerFuncs,
	indexers *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	store, destroyStore, err := f.open(*config, newFunc, newListFunc, resourcePrefix)
	if err != nil {
		return nil, nil, err
	}
	delegator, destroy, err := NewCached(cacher.Config{
		Storage:             store,
		Versioner:           storage.APIObjectVersioner{},
		GroupResource:       config.GroupResource,
		EventsHistoryWindow: config.EventsHistoryWindow,
		ResourcePrefix:      resourcePrefix,
		KeyFunc:             keyFunc,
		NewFunc:             newFunc,
		NewListFunc:         newListFunc,
		GetAttrsFunc:        getAttrs,
		IndexerFuncs:        triggers,
		Indexers:            indexers,
		Codec:               config.Codec,
	})
	if err != nil {
		destroyStore()
		return nil, nil, err
	}
	return delegator, f.track(sync.OnceFunc(func() {
		destroy()
		destroyStore()
	})), nil
}

// NewCached puts a watch cache on config.Storage whose consistent reads are
// prompt. It is for those who compose a store by hand, like the conformance
// suite; registries get theirs from a Factory. The destroy function ends the
// cache, before the store below it, which is the caller's to end.
func NewCached(config cacher.Config) (storage.Interface, factory.DestroyFunc, error) {
	config.Storage = promptReads{config.Storage}
	c, err := cacher.NewCacherFromConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("watch cache of %s: %w", config.GroupResource, err)
	}
	delegator := cacher.NewCacheDelegator(c, config.Storage)
	return delegator, sync.OnceFunc(func() {
		delegator.Stop()
		c.Stop()
	}), nil
}
