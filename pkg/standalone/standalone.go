// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/controller"
	"safebeam.dev/safebeam/pkg/gateway"
	"safebeam.dev/safebeam/pkg/gateway/channels"
	"safebeam.dev/safebeam/pkg/launcher/local"
	"safebeam.dev/safebeam/pkg/launcher/localsandbox"
)

// Ready is what a running process tells.
type Ready struct {
	// Server is the URL of the API server.
	Server string
	// Gateway is the address of the gateway.
	Gateway string
	// Kubeconfig has the admin's credential.
	Kubeconfig string
}

// Run runs until ctx ends. The options are complete and valid. ready is called
// once everything serves; it may be nil.
func Run(ctx context.Context, o *Options, ready func(Ready)) (err error) {
	opened, err := o.Server.Config(ctx)
	// All that is left of the cause there is its text.
	if err != nil && strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
		return fmt.Errorf("--secure-port: %w: another server runs there, choose another port", err)
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()

	opened.ExtraConfig.Sandboxes.Shortfalls = localsandbox.Warnings
	server, err := opened.Complete().New()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, o.GatewayAddress)
	if err != nil {
		return fmt.Errorf("--gateway-address: %w", err)
	}
	defer listener.Close() // the gateway closes it when it ends
	told := Ready{
		Server:     "https://" + net.JoinHostPort(o.Server.Recommended.SecureServing.BindAddress.String(), strconv.Itoa(o.Server.Recommended.SecureServing.BindPort)),
		Gateway:    listener.Addr().String(),
		Kubeconfig: o.Kubeconfig,
	}
	client := rest.CopyConfig(server.GenericAPIServer.LoopbackClientConfig)
	if err := o.add(ctx, opened, server, listener, client); err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "readiness", Client: true, Run: func(ctx context.Context) error {
		return announce(ctx, client, func() error {
			if err := o.publish(opened, told); err != nil {
				return err
			}
			if ready != nil {
				ready(told)
			}
			return nil
		})
	}})
	return server.Run(ctx)
}

// add puts what runs beside the API server into it.
func (o *Options) add(ctx context.Context, opened *options.Opened, server *apiserver.Server, listener net.Listener, client *rest.Config) error {
	server.Add(apiserver.Component{Name: "certificates", Run: opened.Authority.Run})

	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	certificate, err := opened.Authority.Issue("safebeam-gateway", append(o.Server.Names, host)...)
	if err != nil {
		return err
	}
	clients, err := server.Storages.NewClient(client)
	if err != nil {
		return err
	}
	tokens := gateway.NewTokens()
	channels, err := channels.New(clients)
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "channels", Run: channels.Run, Client: true})
	grpc := gateway.New(gateway.Options{
		Broker:   server.Storages.Broker,
		Jobs:     tokens,
		Users:    opened.Tokens,
		API:      gateway.NewAPI(clients.TightbeamV1().RESTClient()),
		Channels: channels,
		TLS:      &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS12},
	})
	server.Add(apiserver.Component{Name: "gateway", Run: func(ctx context.Context) error { return grpc.Serve(ctx, listener) }})
	if err := o.Insecure.add(ctx, server, grpc); err != nil {
		return err
	}

	// Jobs are told a file: it changes when the authority does.
	caFile := filepath.Join(o.DataDir(), "ca.crt")
	var written error
	opened.Authority.OnBundle(func(bundle []byte) {
		if written = replaceFile(caFile, bundle); written != nil {
			klog.FromContext(ctx).Error(written, "The authority's bundle could not be written, jobs will not trust the gateway", "file", caFile)
		}
	})
	if written != nil {
		return written
	}
	binary, err := local.FindBinary(o.LLMJobBinary)
	if err != nil {
		return err
	}
	launcher, err := local.New(ctx, local.Options{
		Binary: binary, Dir: filepath.Join(o.DataDir(), "jobs"), SecretsDir: o.SecretsDir,
		GatewayAddress: listener.Addr().String(), GatewayCAFile: caFile, Tokens: jobTokens{tokens},
	})
	if err != nil {
		return err
	}
	sandboxes, err := o.addSandboxes(ctx, opened, server)
	if err != nil {
		return err
	}
	loops, err := controller.New(controller.Options{Client: clients, Launcher: launcher, Sandboxes: sandboxes, TurnTTL: &o.TurnTTL})
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "controllers", Run: loops.Run, Client: true})
	return nil
}

// publish writes the kubeconfig, and again whenever the authority changes.
func (o *Options) publish(opened *options.Opened, told Ready) error {
	var first error
	opened.Authority.OnBundle(func(bundle []byte) {
		first = writeKubeconfig(told.Kubeconfig, told.Server, bundle, o.Server.Standalone.AdminToken)
		if first != nil {
			klog.Background().Error(first, "The kubeconfig could not be written", "file", told.Kubeconfig)
		}
	})
	return first
}

// readyPoll is how often readiness is asked for.
const readyPoll = 20 * time.Millisecond

// announce calls ready once the server says that it is, and waits for ctx.
func announce(ctx context.Context, client *rest.Config, ready func() error) error {
	http, err := rest.UnversionedRESTClientFor(unversioned(client))
	if err != nil {
		return err
	}
	err = wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		return http.Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
	if err != nil {
		return nil // ended before it was ready
	}
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func unversioned(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = apiserver.Codecs
	config.GroupVersion = &schema.GroupVersion{}
	return config
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}

// jobTokens makes the gateway know the jobs of the local launcher.
type jobTokens struct{ *gateway.Tokens }

func (t jobTokens) IssueToken(identity local.Identity) (token string, revoke func()) {
	return t.Issue(gateway.Identity(identity))
}

func (t jobTokens) RestoreToken(identity local.Identity, token string) (revoke func()) {
	return t.Restore(gateway.Identity(identity), token)
}
