// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/apiserver/certificates"
)

const (
	// publishInterval is how soon an APIService that was made anew, without
	// its caBundle, has it again.
	publishInterval = 15 * time.Second
	// publishRetry is the same while the bundle is not there yet: the
	// APIService may be applied after the server.
	publishRetry = time.Second
)

// publisher keeps the authority in the caBundle of APIServices.
type publisher struct {
	client    rest.Interface
	authority *certificates.Authority
	services  []string
}

// Run publishes until ctx ends.
func (p *publisher) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	p.authority.OnBundle(func([]byte) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	logger := klog.FromContext(ctx)
	said := ""
	for {
		wait := publishInterval
		err := p.publish(ctx)
		switch {
		case err == nil:
			said = ""
		case ctx.Err() != nil:
			return nil
		default:
			wait = publishRetry
			if said != err.Error() {
				said = err.Error()
				logger.Error(err, "The authority is not in every APIService yet, will try again", "every", wait)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (p *publisher) publish(ctx context.Context) error {
	bundle := p.authority.Bundle()
	var errs []error
	for _, name := range p.services {
		if err := p.publishIn(ctx, name, bundle); err != nil {
			if apierrors.IsNotFound(err) {
				err = errors.New("it does not exist")
			}
			errs = append(errs, fmt.Errorf("APIService %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// publishIn writes the bundle unless it is there.
func (p *publisher) publishIn(ctx context.Context, name string, bundle []byte) error {
	path := "/apis/apiregistration.k8s.io/v1/apiservices/" + name
	data, err := p.client.Get().AbsPath(path).DoRaw(ctx)
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
	if bytes.Equal(service.Spec.CABundle, bundle) {
		return nil
	}
	service.Spec.CABundle = bundle
	patch, err := json.Marshal(service)
	if err != nil {
		return err
	}
	if _, err := p.client.Patch(types.MergePatchType).AbsPath(path).
		Param("fieldManager", "safebeam-apiserver").Body(patch).DoRaw(ctx); err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Wrote the authority into the APIService", "apiService", name)
	return nil
}
