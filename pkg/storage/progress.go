// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"sync"

	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/feature"
)

// promptReads is a store whose readers of the current resource version bring
// the watch cache along.
//
// A consistent list is served by the watch cache as soon as it has seen the
// current revision, and revisions are global: any write to another resource
// leaves the cache behind until it asks for a bookmark, which it does every
// 100 ms. Asking right after the revision was read makes that wait as short as
// the way of one bookmark. The order matters: the bookmark is at or past the
// revision that is returned.
type promptReads struct {
	storage.Interface
}

func (s promptReads) GetCurrentResourceVersion(ctx context.Context) (uint64, error) {
	rv, err := s.Interface.GetCurrentResourceVersion(ctx)
	if err != nil {
		return 0, err
	}
	if feature.DefaultFeatureSupportChecker.Supports(storage.RequestWatchProgress) {
		// A hint: without it the cache's own timer asks again.
		_ = s.RequestWatchProgress(ctx)
	}
	return rv, nil
}

// supportsProgress answers the watch cache's question whether the store can be
// asked for bookmarks. Kubernetes' own checker asks etcd endpoints for their
// version and says no until one has answered; the embedded engine has none.
type supportsProgress struct {
	feature.FeatureSupportChecker
}

func (supportsProgress) Supports(f storage.Feature) bool {
	return f == storage.RequestWatchProgress
}

// AssumeProgress tells watch caches that their store can be asked for
// bookmarks. It must be called before the first cache of an embedded engine is
// built, which a Factory does. The answer is global to the process, as is the
// choice of the engine.
func AssumeProgress() { assumeProgress() }

// Once: the caches of an earlier store read it from goroutines of their own.
var assumeProgress = sync.OnceFunc(func() {
	feature.DefaultFeatureSupportChecker = supportsProgress{feature.NewDefaultFeatureSupportChecker()}
})
