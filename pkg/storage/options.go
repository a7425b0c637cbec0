// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
)

// The engines that --storage-backend names.
const (
	BackendBBolt = "bbolt"
	BackendETCD3 = "etcd3"
)

// DefaultPrefix is the part of every object's key that is ours. It keeps a
// shared etcd apart from what else lives in it.
const DefaultPrefix = "/registry/safebeam.dev"

// Options says where and how the store keeps what it is given.
type Options struct {
	// Backend is the engine, BackendBBolt or BackendETCD3.
	Backend string
	// BBolt holds what concerns the embedded engine alone.
	BBolt BBoltOptions
	// Etcd holds Kubernetes' own storage options: the connection to etcd,
	// which is read for BackendETCD3 only, and what concerns both engines
	// (encryption at rest, watch cache, count metrics).
	Etcd *genericoptions.EtcdOptions
}

// NewOptions returns the defaults: the embedded engine, no encryption.
func NewOptions() *Options {
	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(DefaultPrefix, nil))
	// The namespace controller asks for collections to be deleted; one worker
	// would make a namespace's end as slow as its objects are many.
	etcd.DeleteCollectionWorkers = 4
	return &Options{
		Backend: BackendBBolt,
		BBolt:   newBBoltOptions(),
		Etcd:    etcd,
	}
}

// withheldEtcdFlags are those of Kubernetes' storage flags that this server
// does not have: --storage-backend is our own, the others would be accepted
// and have no effect.
var withheldEtcdFlags = map[string]bool{
	"storage-backend":          true,
	"etcd-servers-overrides":   true,
	"storage-media-type":       true,
	"default-watch-cache-size": true,
}

// AddFlags adds the storage flags to fs.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Backend, "storage-backend", o.Backend,
		"The engine that keeps all objects and journals. bbolt: embedded, in --data-dir, one server. "+
			"etcd3: an etcd cluster, named by --etcd-servers.")
	o.BBolt.addFlags(fs)

	etcd := pflag.NewFlagSet("etcd", pflag.ContinueOnError)
	o.Etcd.AddFlags(etcd)
	etcd.VisitAll(func(f *pflag.Flag) {
		if !withheldEtcdFlags[f.Name] {
			fs.AddFlag(f)
		}
	})
}

// Validate reports every setting that cannot be honoured.
func (o *Options) Validate() []error {
	var errs []error
	switch o.Backend {
	case BackendBBolt:
		errs = append(errs, o.BBolt.validate()...)
		if servers := o.Etcd.StorageConfig.Transport.ServerList; len(servers) > 0 {
			errs = append(errs, fmt.Errorf("--etcd-servers=%s has no effect with --storage-backend=%s: use --storage-backend=%s or leave it out",
				strings.Join(servers, ","), BackendBBolt, BackendETCD3))
		}
	case BackendETCD3:
		errs = append(errs, o.validateEtcd()...)
	default:
		errs = append(errs, fmt.Errorf("--storage-backend=%q is unknown: use %s or %s", o.Backend, BackendBBolt, BackendETCD3))
	}
	if o.Etcd.StorageConfig.EventsHistoryWindow < storagebackend.DefaultEventsHistoryWindow {
		errs = append(errs, fmt.Errorf("the watch history of %v is shorter than the %v that watch caches need",
			o.Etcd.StorageConfig.EventsHistoryWindow, storagebackend.DefaultEventsHistoryWindow))
	}
	if _, err := genericoptions.ParseWatchCacheSizes(o.Etcd.WatchCacheSizes); err != nil {
		errs = append(errs, fmt.Errorf("--watch-cache-sizes: %w", err))
	}
	switch file := o.Etcd.EncryptionProviderConfigFilepath; {
	case file == "" && o.Etcd.EncryptionProviderConfigAutomaticReload:
		errs = append(errs, fmt.Errorf("--encryption-provider-config-automatic-reload needs --encryption-provider-config"))
	case file != "" && !filepath.IsAbs(file):
		errs = append(errs, fmt.Errorf("--encryption-provider-config=%s must be an absolute path", file))
	}
	return errs
}

func (o *Options) validateEtcd() []error {
	var errs []error
	transport := o.Etcd.StorageConfig.Transport
	if len(transport.ServerList) == 0 {
		errs = append(errs, fmt.Errorf("--storage-backend=%s needs --etcd-servers", BackendETCD3))
	}
	for _, server := range transport.ServerList {
		u, err := url.Parse(server)
		if err != nil || u.Host == "" {
			errs = append(errs, fmt.Errorf("--etcd-servers: %q is no URL of the form https://host:2379", server))
			continue
		}
		if u.Scheme == "http" && (transport.TrustedCAFile != "" || transport.CertFile != "") {
			errs = append(errs, fmt.Errorf("--etcd-servers: %s is plain http, but --etcd-cafile or --etcd-certfile is given", server))
		}
	}
	if (transport.CertFile == "") != (transport.KeyFile == "") {
		errs = append(errs, fmt.Errorf("--etcd-certfile and --etcd-keyfile go together"))
	}
	return errs
}
