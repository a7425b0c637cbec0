// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3/metrics"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"

	"safebeam.dev/safebeam/pkg/journal"
)

// engine is what a Factory needs of bbolt and of etcd.
type engine interface {
	// open returns the store of one resource. Its objects are transformed
	// as config says.
	open(config storagebackend.ConfigForResource, newFunc, newListFunc func() runtime.Object, resourcePrefix string) (storage.Interface, factory.DestroyFunc, error)
	// journal returns the engine's journal, not encrypted.
	journal() journal.Journal
	// health fails when the process must be restarted to go on.
	health() []healthz.HealthChecker
	// ready fails while writes are not accepted.
	ready() []healthz.HealthChecker
	// monitors report the size on disk.
	monitors() ([]metrics.Monitor, error)
	// close ends the engine. Its stores are destroyed by then.
	close() error
}
