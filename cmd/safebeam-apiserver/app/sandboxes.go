// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"k8s.io/apiserver/pkg/authentication/authenticator"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/sandboxidentity"
)

// addSandboxes has the gateway of sandboxes served beside the API, on a port of
// its own: what may dial it is let nowhere else by its NetworkPolicy.
func (o *Options) addSandboxes(ctx context.Context, opened *options.Opened, server *apiserver.Server, tokens authenticator.Token) error {
	certificate, err := opened.Authority.Issue("safebeam-sandbox-gateway", o.GatewayNames...)
	if err != nil {
		return err
	}
	storages := server.Storages.Sandboxes
	gateway := sandboxes.NewServer(sandboxes.Options{
		TLS:           &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS13},
		Authenticator: &sandboxidentity.Pods{Tokens: tokens, Bindings: storages.Bindings, Over: storages.Live.Over},
		Observer:      storages.Live,
	})
	storages.Live.Serve(gateway)
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.SandboxGatewayAddress)
	if err != nil {
		return fmt.Errorf("--sandbox-gateway-address: %w", err)
	}
	server.Add(apiserver.Component{Name: "sandbox gateway", Run: func(ctx context.Context) error {
		err := gateway.Serve(ctx, listener) // Live closes the connections
		if ctx.Err() != nil {
			return nil
		}
		return err
	}})
	return nil
}
