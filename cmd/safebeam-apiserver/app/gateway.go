// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/gateway"
	"safebeam.dev/safebeam/pkg/gateway/channels"
	"safebeam.dev/safebeam/pkg/gateway/podidentity"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/storage"
)

const (
	// reviewTimeout bounds one TokenReview.
	reviewTimeout = 10 * time.Second
	// reviewQPS and reviewBurst bound the TokenReviews. They are those of the API's
	// own delegated authentication: with the five a second that a client has by
	// itself, a few made-up tokens would keep every job and sandbox waiting, and a
	// hundred sandboxes each other.
	reviewQPS   = 200
	reviewBurst = 400
	// trustFor is how long a token is believed without asking again. A job
	// makes two calls a turn; its pod's record is looked at in every one.
	trustFor = time.Minute
	// distrustFor is how long a token is refused without asking again.
	distrustFor = 10 * time.Second
)

// openPods are the controller's records of pods, in the server's store.
func openPods(store *storage.Factory) (*podidentity.Records, error) {
	raw, _, err := store.Raw(storage.RawConfig{
		Resource: podidentity.Resource, Prefix: podidentity.ResourcePrefix, Codec: podidentity.Codec(),
		NewFunc:     func() runtime.Object { return &podidentity.Record{} },
		NewListFunc: func() runtime.Object { return &podidentity.RecordList{} },
	})
	if err != nil {
		return nil, err
	}
	return podidentity.NewRecords(raw), nil
}

// addGateway has the gateway served beside the API.
func (o *Options) addGateway(ctx context.Context, opened *options.Opened, server *apiserver.Server, tokens authenticator.Token, pods *podidentity.Records) error {
	certificate, err := opened.Authority.Issue("safebeam-gateway", o.GatewayNames...)
	if err != nil {
		return err
	}
	own, err := versioned.NewForConfig(server.GenericAPIServer.LoopbackClientConfig)
	if err != nil {
		return err
	}
	model := func(ctx context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error) {
		obj, err := server.Storages.Models.Get(request.WithNamespace(ctx, namespace), name, &metav1.GetOptions{ResourceVersion: "0"})
		if err != nil {
			return nil, err
		}
		return obj.(*tightbeamv1.TightbeamModel), nil
	}
	channels, err := channels.New(own)
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "channels", Run: channels.Run, Client: true})
	grpc := gateway.New(gateway.Options{
		Broker:   server.Storages.Broker,
		Jobs:     &podidentity.Jobs{Tokens: tokens, Records: pods, Model: model},
		Users:    forAudience(tokens, podidentity.AudienceAgent),
		API:      gateway.NewAPI(own.TightbeamV1().RESTClient()),
		Channels: channels,
		TLS:      &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS12},
	})
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.GatewayAddress)
	if err != nil {
		return fmt.Errorf("--gateway-address: %w", err)
	}
	server.Add(apiserver.Component{Name: "gateway", Run: func(ctx context.Context) error { return grpc.Serve(ctx, listener) }})
	server.Add(apiserver.Component{Name: "pod records", Client: true, Run: func(ctx context.Context) error {
		return sweepPods(ctx, pods, model)
	}})
	return nil
}

// sweepInterval is how often the records of deleted models are dropped that
// the controller has not seen go. They are refused from the first moment on.
const sweepInterval = time.Hour

func sweepPods(ctx context.Context, pods *podidentity.Records, model func(ctx context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error)) error {
	for {
		timer := time.NewTimer(sweepInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		err := pods.Sweep(ctx, func(ctx context.Context, pod podidentity.Pod) (bool, error) {
			found, err := model(ctx, pod.ModelNamespace, pod.Model)
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return err == nil && found.UID != pod.ModelUID, err
		})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("dropping records of pods: %w", err)
		}
	}
}

// reviews is a client for TokenReviews of the cluster.
func reviews(cluster *rest.Config) (authenticationv1.AuthenticationV1Interface, error) {
	config := rest.CopyConfig(cluster)
	config.QPS, config.Burst = reviewQPS, reviewBurst
	return authenticationv1.NewForConfig(config)
}

// reviewed asks the cluster, by TokenReview, who the bearer of a token is.
func reviewed(cluster authenticationv1.AuthenticationV1Interface) (authenticator.Token, error) {
	review, err := webhook.NewFromInterface(cluster, nil,
		wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 4}, reviewTimeout,
		webhook.AuthenticatorMetrics{
			RecordRequestTotal:   func(context.Context, string) {},
			RecordRequestLatency: func(context.Context, string, float64) {},
		})
	if err != nil {
		return nil, err
	}
	return tokencache.New(review, false, trustFor, distrustFor), nil
}

// forAudience takes only tokens of one audience.
func forAudience(tokens authenticator.Token, audience string) authenticator.Token {
	wanted := authenticator.Audiences{audience}
	return authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
		response, ok, err := tokens.AuthenticateToken(authenticator.WithAudiences(ctx, wanted), token)
		if err != nil || !ok || len(response.Audiences.Intersect(wanted)) == 0 {
			return nil, false, err
		}
		return response, true, nil
	})
}
