// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3/metrics"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// Config is what the server that opens a store knows and its flags do not.
type Config struct {
	// Scheme has the served types.
	Scheme *runtime.Scheme
	// Versions has, for each API group, the version that is stored.
	Versions []schema.GroupVersion
	// APIServerID names this process to key management plugins.
	APIServerID string
	// ObjectCounts learns how many objects each resource has, by which
	// priority and fairness knows what a list costs. May be nil.
	ObjectCounts flowcontrolrequest.StorageObjectCountTracker
	// Journals has, by the plural that owners begin with, the resource whose
	// encryption holds for them. Nil means DefaultJournals.
	Journals map[string]schema.GroupResource
}

// DefaultJournals are the resources that have a journal.
var DefaultJournals = map[string]schema.GroupResource{
	"conversations": {Group: "tightbeam.dev", Resource: "conversations"},
	"turns":         {Group: "tightbeam.dev", Resource: "turns"},
	"sandboxes":     {Group: "llmsafespace.dev", Resource: "sandboxes"},
	"executions":    {Group: "llmsafespace.dev", Resource: "executions"},
}

// Factory is an open store. It is safe for concurrent use.
type Factory struct {
	options    Options
	config     Config
	engine     engine
	encryption *encryption
	journal    journal.Journal

	mu     sync.Mutex
	closed bool
	// destroys ends the stores that are open, newest last. They are
	// idempotent: a registry destroys its store on shutdown, too.
	destroys []func()
}

// Open opens the engine that options name. The caller closes the Factory after
// the servers on it have ended. ctx bounds the opening alone.
func Open(ctx context.Context, options Options, config Config) (*Factory, error) {
	if config.Journals == nil {
		config.Journals = DefaultJournals
	}
	encryption, err := loadEncryption(options.Etcd, config.APIServerID)
	if err != nil {
		return nil, err
	}
	var e engine
	switch options.Backend {
	case BackendBBolt:
		e, err = openBBolt(options.BBolt)
	case BackendETCD3:
		e, err = openEtcd(ctx, options.Etcd.StorageConfig)
	default:
		err = fmt.Errorf("unknown storage backend %q", options.Backend)
	}
	if err != nil {
		encryption.stop()
		return nil, err
	}
	f := &Factory{
		options:    options,
		config:     config,
		engine:     e,
		encryption: encryption,
		journal:    newSealedJournal(e.journal(), encryption, config.Journals),
	}
	metrics.SetStorageMonitorGetter(f.engine.monitors)
	return f, nil
}

// Journal returns the journal. Its records are encrypted at rest as the
// resources that they belong to.
func (f *Factory) Journal() journal.Journal { return f.journal }

// HealthChecks belong to healthz, livez and readyz: a failure is mended by a
// restart at best.
func (f *Factory) HealthChecks() []healthz.HealthChecker { return f.engine.health() }

// ReadyzChecks belong to readyz and healthz: a failure may pass.
func (f *Factory) ReadyzChecks() []healthz.HealthChecker {
	return append(slices.Clip(f.engine.ready()), f.encryption.checks...)
}

// Close destroys what is still open of the stores and then the engine. Servers
// on the store must have ended.
func (f *Factory) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	destroys := f.destroys
	f.destroys = nil
	f.mu.Unlock()

	metrics.SetStorageMonitorGetter(func() ([]metrics.Monitor, error) { return nil, nil })
	for _, destroy := range slices.Backward(destroys) {
		destroy()
	}
	err := f.engine.close()
	f.encryption.stop()
	return err
}

// track has Close call destroy, which must be idempotent.
func (f *Factory) track(destroy func()) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.destroys = append(f.destroys, destroy)
	return destroy
}

// RawConfig describes a kind of record that is kept like an object and served
// by no API.
type RawConfig struct {
	// Resource names the record in errors, metrics and the encryption
	// configuration.
	Resource schema.GroupResource
	// Prefix is the folder of the records, beginning with a slash.
	Prefix string
	// Codec encodes the record.
	Codec runtime.Codec
	// NewFunc and NewListFunc make an empty record and an empty list.
	NewFunc, NewListFunc func() runtime.Object
}

// Raw returns a store without watch cache: every read is a consistent one.
// Keys begin with config.Prefix. Closing the Factory closes it.
func (f *Factory) Raw(config RawConfig) (storage.Interface, factory.DestroyFunc, error) {
	if !strings.HasPrefix(config.Prefix, "/") {
		return nil, nil, fmt.Errorf("prefix %q of %s does not begin with a slash", config.Prefix, config.Resource)
	}
	return f.open(*f.resourceConfig(config.Resource, config.Codec), config.NewFunc, config.NewListFunc, config.Prefix)
}

func (f *Factory) open(config storagebackend.ConfigForResource, newFunc, newListFunc func() runtime.Object, resourcePrefix string) (storage.Interface, factory.DestroyFunc, error) {
	store, destroy, err := f.engine.open(config, newFunc, newListFunc, resourcePrefix)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the store of %s: %w", config.GroupResource, err)
	}
	return store, f.track(sync.OnceFunc(destroy)), nil
}

func (f *Factory) resourceConfig(resource schema.GroupResource, codec runtime.Codec) *storagebackend.ConfigForResource {
	config := f.options.Etcd.StorageConfig
	config.Type = storagebackend.StorageTypeETCD3
	config.Codec = codec
	config.Transformer = f.encryption.TransformerForResource(resource)
	config.StorageObjectCountTracker = f.config.ObjectCounts
	return config.ForResource(resource)
}

// etcdRequestBytes is etcd's own limit on a request.
const etcdRequestBytes = 3 << 19

// MaxObjectBytes is the size of the largest object, encoded, that the store
// takes.
func (f *Factory) MaxObjectBytes() int {
	if f.options.Backend == BackendBBolt {
		return bbolt.MaxValueBytes
	}
	return etcdRequestBytes
}
