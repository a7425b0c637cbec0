// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	// authorityInterval is how often the bundle is read: a new authority is in
	// it for a tenth of its life before it signs.
	authorityInterval = 10 * time.Minute
	authorityRetry    = time.Second
)

// authority is the gateway's certificate authority, as the API server has
// published it.
type authority struct {
	client  rest.Interface
	service string

	mu     sync.Mutex
	bundle []byte
}

// Bundle returns what was read last, and nothing before the first time.
func (a *authority) Bundle() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bundle
}

func (a *authority) read(ctx context.Context) error {
	data, err := a.client.Get().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices/" + a.service).DoRaw(ctx)
	if err != nil {
		return err
	}
	var service struct {
		Spec struct {
			CABundle []byte `json:"caBundle"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(data, &service); err != nil {
		return err
	}
	if len(service.Spec.CABundle) == 0 {
		return errors.New("its caBundle is empty: the API server has not published it yet")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bundle = service.Spec.CABundle
	return nil
}

// wait returns when the bundle is known.
func (a *authority) wait(ctx context.Context) error {
	for said := ""; ; {
		err := a.read(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if err.Error() != said {
			said = err.Error()
			klog.FromContext(ctx).Info("Waiting for the gateway's authority", "apiService", a.service, "err", err)
		}
		if sleep(ctx, authorityRetry) != nil {
			return ctx.Err()
		}
	}
}

// Run follows the bundle until ctx ends.
func (a *authority) Run(ctx context.Context) {
	for sleep(ctx, authorityInterval) == nil {
		if err := a.read(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "The gateway's authority was not read, the last one goes on", "apiService", a.service)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
