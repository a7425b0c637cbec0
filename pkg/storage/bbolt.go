// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"net/http"
	"path"
	"path/filepath"

	clientkubernetes "go.etcd.io/etcd/client/v3/kubernetes"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/etcd3/metrics"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// bboltFolder is the engine's part of the data directory, which holds other
// things as well.
const bboltFolder = "store"

// bboltEngine is the embedded engine.
type bboltEngine struct {
	db     *bbolt.DB
	client *clientkubernetes.Client
}

func openBBolt(options BBoltOptions) (engine, error) {
	db, err := bbolt.Open(bbolt.Options{
		Dir:                 filepath.Join(options.DataDir, bboltFolder),
		MaxBytes:            options.QuotaBytes,
		CompactionRetention: options.HistoryRetention,
		CompactionMaxBytes:  options.HistoryMaxBytes,
	})
	if err != nil {
		return nil, err
	}
	AssumeProgress()
	decodeInOrder()
	exposeMetrics(db)
	return &bboltEngine{db: db, client: db.Client()}, nil
}

// open does what Kubernetes' factory does for etcd, on the engine's client.
func (e *bboltEngine) open(config storagebackend.ConfigForResource, newFunc, newListFunc func() runtime.Object, resourcePrefix string) (storage.Interface, factory.DestroyFunc, error) {
	versioner := storage.APIObjectVersioner{}
	transformer, decoder := config.Transformer, etcd3.NewDefaultDecoder(config.Codec, versioner)
	unsafeDeletion := utilfeature.DefaultFeatureGate.Enabled(features.AllowUnsafeMalformedObjectDeletion)
	if unsafeDeletion {
		transformer = etcd3.WithCorruptObjErrorHandlingTransformer(transformer)
		decoder = etcd3.WithCorruptObjErrorHandlingDecoder(decoder)
	}
	inner, err := etcd3.New(e.client, e.db, config.Codec, newFunc, newListFunc, config.Prefix, resourcePrefix,
		config.GroupResource, transformer, config.LeaseManagerConfig, decoder, versioner)
	if err != nil {
		return nil, nil, err
	}
	var store storage.Interface = inner
	if unsafeDeletion {
		store = etcd3.NewStoreWithUnsafeCorruptObjectDeletion(store, config.GroupResource)
	}
	return OnBBolt(store, e.db, config.Prefix, resourcePrefix), inner.Close, nil
}

// OnBBolt completes a store on the client of db with what an engine in the same
// process can do and an etcd cannot. It is for those who compose a store by
// hand, like the conformance suite and the benchmarks; registries get theirs
// from a Factory.
func OnBBolt(store storage.Interface, db *bbolt.DB, prefix, resourcePrefix string) storage.Interface {
	// This is what a watch cache on the store watches.
	watched := path.Join("/", prefix, resourcePrefix) + "/"
	return &bboltStore{Interface: store, db: db, watched: watched}
}

func (e *bboltEngine) journal() journal.Journal { return e.db.Journal() }

// health is about what only a restart mends: a log that could not be written or
// synced.
func (e *bboltEngine) health() []healthz.HealthChecker {
	return []healthz.HealthChecker{healthz.NamedCheck("store", func(*http.Request) error { return e.db.Failed() })}
}

// ready is about whether writes are accepted, which a full disk suspends.
func (e *bboltEngine) ready() []healthz.HealthChecker {
	return []healthz.HealthChecker{healthz.NamedCheck("store-readiness", func(*http.Request) error { return e.db.Ready() })}
}

func (e *bboltEngine) monitors() ([]metrics.Monitor, error) {
	return []metrics.Monitor{bboltMonitor{e.db}}, nil
}

func (e *bboltEngine) close() error {
	hideMetrics(e.db)
	return e.db.Close()
}

type bboltMonitor struct{ db *bbolt.DB }

func (m bboltMonitor) Monitor(context.Context) (metrics.StorageMetrics, error) {
	stats := m.db.Stats()
	return metrics.StorageMetrics{Size: stats.LogBytes + stats.CheckpointBytes}, nil
}

func (bboltMonitor) Close() error { return nil }

// bboltStore is the store of one resource on the embedded engine. A write is
// decoded while the disk is at work on it, and writers of one object go on from
// each other's staged state; see bbolt.DB.Session for why that is safe.
//
// A tryUpdate function, and with it admission, may therefore see an object that
// is not durable yet. If it then never is, neither is the update: the caller
// gets the engine's error instead of the outcome.
type bboltStore struct {
	storage.Interface
	db      *bbolt.DB
	watched string
}

// RequestWatchProgress asks for bookmarks on this resource's watch cache, and
// for nobody else's.
func (s *bboltStore) RequestWatchProgress(context.Context) error {
	s.db.PokeProgress(s.watched)
	return nil
}

func (s *bboltStore) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	staged, settle := s.db.Session(ctx)
	err := s.Interface.Create(staged, key, obj, out, ttl)
	return settled(ctx, settle, err)
}

func (s *bboltStore) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions,
	validate storage.ValidateObjectFunc, cached runtime.Object, opts storage.DeleteOptions,
) error {
	staged, settle := s.db.Session(ctx)
	err := s.Interface.Delete(staged, key, out, preconditions, validate, cached, opts)
	return settled(ctx, settle, err)
}

func (s *bboltStore) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object,
) error {
	if ctx.Value(aheadKey{}) != nil {
		return s.UpdateAhead(ctx, key, out, ignoreNotFound, preconditions, tryUpdate, cached)
	}
	staged, settle := s.db.Session(ctx)
	err := s.Interface.GuaranteedUpdate(staged, key, out, ignoreNotFound, preconditions, tryUpdate, cached)
	return settled(ctx, settle, err)
}

// UpdateAhead is GuaranteedUpdate without the wait for the disk: the update is
// ordered ahead of whatever the caller writes next, and out is as it will be
// then. The caller lets nothing out that came of it before such a write is
// durable. An error is durable.
func (s *bboltStore) UpdateAhead(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object,
) error {
	ahead, settle := s.db.Ahead(ctx)
	err := s.Interface.GuaranteedUpdate(ahead, key, out, ignoreNotFound, preconditions, tryUpdate, cached)
	if err != nil {
		return settled(ctx, settle, err)
	}
	return nil
}

type aheadKey struct{}

// Ahead returns a context under which GuaranteedUpdate is UpdateAhead, where the
// engine can order writes; elsewhere it is what it always is. It is for who holds
// a storage that something else is around, such as a registry's.
func Ahead(ctx context.Context) context.Context {
	return context.WithValue(ctx, aheadKey{}, true)
}

// settled returns err once everything that led to it is durable.
func settled(ctx context.Context, settle func(context.Context) error, err error) error {
	if settleErr := settle(ctx); settleErr != nil {
		return settleErr
	}
	return err
}
