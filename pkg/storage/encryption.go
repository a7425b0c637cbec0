// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	encryptioncontroller "k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	"k8s.io/apiserver/pkg/storage/value"
)

// encryption is what --encryption-provider-config says. Without that file it
// is the identity that refuses to hand out data that is encrypted.
type encryption struct {
	value.ResourceTransformers
	// none: there is no such file.
	none   bool
	checks []healthz.HealthChecker
	// stop ends key management clients and the file's watcher and waits for
	// the latter.
	stop func()
}

func loadEncryption(options *genericoptions.EtcdOptions, apiServerID string) (_ *encryption, err error) {
	file := options.EncryptionProviderConfigFilepath
	if file == "" {
		return &encryption{ResourceTransformers: encryptionconfig.StaticTransformers{}, none: true, stop: func() {}}, nil
	}
	reload := options.EncryptionProviderConfigAutomaticReload

	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	// A reload closes the clients of the configuration before it, and only
	// those; the file's watcher outlives them.
	loadCtx, closeLoaded := context.WithCancel(ctx)
	loaded, err := encryptionconfig.LoadEncryptionConfig(loadCtx, file, reload, apiServerID)
	if err != nil {
		closeLoaded()
		return nil, fmt.Errorf("--encryption-provider-config=%s: %w", file, err)
	}
	if !reload {
		return &encryption{
			ResourceTransformers: encryptionconfig.StaticTransformers(loaded.Transformers),
			checks:               loaded.HealthChecks,
			stop:                 func() { closeLoaded(); cancel() },
		}, nil
	}
	if len(loaded.HealthChecks) != 1 {
		closeLoaded()
		return nil, errors.New("--encryption-provider-config-automatic-reload: the providers have no common health check")
	}
	dynamic := encryptionconfig.NewDynamicTransformers(loaded.Transformers, loaded.HealthChecks[0], closeLoaded, loaded.KMSCloseGracePeriod)
	watcher := encryptioncontroller.NewDynamicEncryptionConfiguration(
		"encryption-provider-config", file, dynamic, loaded.EncryptionFileContentHash, apiServerID)
	var running sync.WaitGroup
	running.Go(func() { watcher.Run(ctx) })
	return &encryption{
		ResourceTransformers: dynamic,
		checks:               []healthz.HealthChecker{dynamic},
		stop:                 func() { cancel(); running.Wait() },
	}, nil
}
