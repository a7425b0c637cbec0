// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"

	"k8s.io/client-go/kubernetes"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// Run serves until ctx ends. The options are complete and valid.
func Run(ctx context.Context, o *Options) (err error) {
	enforceQuota(o.Server.Recommended)
	if err := leaveOutUnserved(ctx, o.Server.Recommended); err != nil {
		return err
	}
	opened, err := open(ctx, o.Server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()

	pods, err := openPods(opened.ExtraConfig.Store)
	if err != nil {
		return err
	}
	opened.ExtraConfig.Pods = pods
	cluster, err := kubernetes.NewForConfig(opened.GenericConfig.ClientConfig)
	if err != nil {
		return err
	}
	server, err := opened.Complete().New()
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "certificates", Run: opened.Authority.Run})
	authentication, err := reviews(opened.GenericConfig.ClientConfig)
	if err != nil {
		return err
	}
	tokens, err := reviewed(authentication)
	if err != nil {
		return err
	}
	if err := o.addGateway(ctx, opened, server, tokens, pods); err != nil {
		return err
	}
	if err := o.addSandboxes(ctx, opened, server, tokens); err != nil {
		return err
	}
	own, err := versioned.NewForConfig(server.GenericAPIServer.LoopbackClientConfig)
	if err != nil {
		return err
	}
	going, err := newNamespaces(opened.GenericConfig.SharedInformerFactory, own, server.Storages.Broker)
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "namespaces", Run: going.Run, Client: true})
	published := &publisher{client: cluster.CoreV1().RESTClient(), authority: opened.Authority, services: o.APIServices}
	server.Add(apiserver.Component{Name: "caBundle", Run: published.Run})
	return server.Run(ctx)
}
