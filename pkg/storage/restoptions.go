// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	genericoptions "k8s.io/apiserver/pkg/server/options"
)

var _ generic.RESTOptionsGetter = (*Factory)(nil)

// GetRESTOptions tells a registry how the objects of resource are stored.
func (f *Factory) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	version, err := f.storedVersion(resource)
	if err != nil {
		return generic.RESTOptions{}, err
	}
	config := f.resourceConfig(resource, NewCodec(f.config.Scheme, version, version))
	config.EncodeVersioner = version

	options := generic.RESTOptions{
		StorageConfig:             config,
		Decorator:                 f.uncached,
		EnableGarbageCollection:   f.options.Etcd.EnableGarbageCollection,
		DeleteCollectionWorkers:   f.options.Etcd.DeleteCollectionWorkers,
		ResourcePrefix:            "/" + resource.Group + "/" + resource.Resource,
		CountMetricPollPeriod:     config.CountMetricPollPeriod,
		StorageObjectCountTracker: config.StorageObjectCountTracker,
	}
	cached, err := f.watchCacheEnabled(resource)
	if err != nil {
		return generic.RESTOptions{}, err
	}
	if cached {
		options.Decorator = f.cached
	}
	return options, nil
}

func (f *Factory) storedVersion(resource schema.GroupResource) (schema.GroupVersion, error) {
	for _, version := range f.config.Versions {
		if version.Group == resource.Group {
			return version, nil
		}
	}
	return schema.GroupVersion{}, fmt.Errorf("no stored version is known for %s", resource)
}

// watchCacheEnabled follows --watch-cache and --watch-cache-sizes, of which a
// zero takes the cache from one resource.
func (f *Factory) watchCacheEnabled(resource schema.GroupResource) (bool, error) {
	if !f.options.Etcd.EnableWatchCache {
		return false, nil
	}
	sizes, err := genericoptions.ParseWatchCacheSizes(f.options.Etcd.WatchCacheSizes)
	if err != nil {
		return false, fmt.Errorf("--watch-cache-sizes: %w", err)
	}
	size, named := sizes[resource]
	return !named || size > 0, nil
}
