// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"fmt"
	"net/http"
	"path"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3/metrics"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"

	"safebeam.dev/safebeam/pkg/journal"
	journaletcd "safebeam.dev/safebeam/pkg/journal/etcd"
)

// journalFolder is where the journal lives under the prefix. Resource folders
// are named by API groups, which have a dot or are empty.
const journalFolder = "journal"

// etcdEngine leaves objects to Kubernetes' own factory, one client a resource,
// and gives the journal a client of its own.
type etcdEngine struct {
	config  storagebackend.Config
	client  *clientv3.Client
	records *journaletcd.Journal
	checks  []healthz.HealthChecker
	readies []healthz.HealthChecker
	stop    context.CancelFunc
}

func openEtcd(ctx context.Context, config storagebackend.Config) (_ *etcdEngine, err error) {
	client, err := dialEtcd(ctx, config.Transport)
	if err != nil {
		return nil, err
	}
	// The checks dial by themselves and do so until told to stop.
	running, stop := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			stop()
			_ = client.Close()
		}
	}()
	healthy, err := factory.CreateHealthCheck(config, running.Done())
	if err != nil {
		return nil, err
	}
	ready, err := factory.CreateReadyCheck(config, running.Done())
	if err != nil {
		return nil, err
	}
	return &etcdEngine{
		config:  config,
		client:  client,
		records: journaletcd.New(client, path.Join("/", config.Prefix, journalFolder)),
		checks: []healthz.HealthChecker{healthz.NamedGroupedCheck("etcd", "etcd",
			func(*http.Request) error { return healthy() })},
		readies: []healthz.HealthChecker{healthz.NamedGroupedCheck("etcd-readiness", "etcd-readiness",
			func(*http.Request) error { return ready() })},
		stop: stop,
	}, nil
}

func dialEtcd(ctx context.Context, config storagebackend.TransportConfig) (*clientv3.Client, error) {
	clientConfig := clientv3.Config{Endpoints: config.ServerList, Logger: zap.NewNop()}
	if config.CertFile != "" || config.TrustedCAFile != "" {
		info := transport.TLSInfo{CertFile: config.CertFile, KeyFile: config.KeyFile, TrustedCAFile: config.TrustedCAFile}
		tls, err := info.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("etcd client certificates: %w", err)
		}
		clientConfig.TLS = tls
	}
	client, err := clientv3.New(clientConfig)
	if err != nil {
		return nil, fmt.Errorf("etcd client for %v: %w", config.ServerList, err)
	}
	if _, err := client.Get(ctx, "health"); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("etcd at %v does not answer: %w", config.ServerList, err)
	}
	return client, nil
}

func (e *etcdEngine) open(config storagebackend.ConfigForResource, newFunc, newListFunc func() runtime.Object, resourcePrefix string) (storage.Interface, factory.DestroyFunc, error) {
	return factory.Create(config, newFunc, newListFunc, resourcePrefix)
}

func (e *etcdEngine) journal() journal.Journal        { return e.records }
func (e *etcdEngine) health() []healthz.HealthChecker { return e.checks }
func (e *etcdEngine) ready() []healthz.HealthChecker  { return e.readies }

func (e *etcdEngine) monitors() ([]metrics.Monitor, error) {
	return []metrics.Monitor{etcdMonitor{e}}, nil
}

func (e *etcdEngine) close() error {
	e.stop()
	return e.client.Close()
}

// etcdMonitor asks the first server that answers for the size of its database.
// It shares the engine's client, so that closing it closes nothing.
type etcdMonitor struct{ engine *etcdEngine }

func (m etcdMonitor) Monitor(ctx context.Context) (size metrics.StorageMetrics, err error) {
	for _, endpoint := range m.engine.config.Transport.ServerList {
		var status *clientv3.StatusResponse
		if status, err = m.engine.client.Status(ctx, endpoint); err == nil {
			return metrics.StorageMetrics{Size: status.DbSize}, nil
		}
	}
	return size, err
}

func (etcdMonitor) Close() error { return nil }
