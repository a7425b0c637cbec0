// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	genericfilters "k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // requests and their latency
	_ "k8s.io/component-base/metrics/prometheus/workqueue"
)

// serve serves health to everybody, and metrics to whom the cluster lets.
func (o *Options) serve(checks ...healthz.HealthChecker) (stopped <-chan struct{}, stop func(), err error) {
	if err := o.Serving.MaybeDefaultWithSelfSignedCerts("safebeam-controller", nil, nil); err != nil {
		return nil, nil, err
	}
	var serving *genericapiserver.SecureServingInfo
	if err := o.Serving.SecureServingOptions.ApplyTo(&serving); err != nil {
		return nil, nil, err
	}
	var authentication genericapiserver.AuthenticationInfo
	if err := o.Authentication.ApplyTo(&authentication, serving, nil); err != nil {
		return nil, nil, err
	}
	var authorization genericapiserver.AuthorizationInfo
	if err := o.Authorization.ApplyTo(&authorization); err != nil {
		return nil, nil, err
	}

	mux := http.NewServeMux()
	healthz.InstallLivezHandler(mux)
	healthz.InstallReadyzHandler(mux, append([]healthz.HealthChecker{healthz.PingHealthz}, checks...)...)
	mux.Handle("/metrics", legacyregistry.Handler())

	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	failed := genericfilters.Unauthorized(codecs)
	handler := genericfilters.WithAuthorization(mux, authorization.Authorizer, codecs)
	handler = genericfilters.WithAuthentication(handler, authentication.Authenticator, failed, nil, authentication.RequestHeaderConfig)
	handler = genericfilters.WithRequestInfo(handler, &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")})
	handler = genericfilters.WithCacheControl(handler)

	ctx, cancel := context.WithCancel(context.Background())
	done, _, err := serving.Serve(handler, 5*time.Second, ctx.Done())
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("serving health and metrics: %w", err)
	}
	return done, cancel, nil
}
