// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package servertest starts real API servers for tests: on a store in the
// test's directory, on a port of their own, with TLS and everything else that
// a client meets.
package servertest

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/rest"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// Settings change how a server is started.
type Settings struct {
	// Options changes the flags.
	Options func(*options.Options)
	// Authorizer stands in for the server's own.
	Authorizer authorizer.Authorizer
	// Sandboxes has the server take the connections of sandboxds.
	Sandboxes bool
	// DataDir is the directory of the store; the default is one of the test's.
	DataDir string
}

// Server is a running server.
type Server struct {
	*apiserver.Server
	// Client is the configuration of a client that is the admin.
	Client *rest.Config
	// Opened is what the server stands on.
	Opened *options.Opened

	t       testing.TB
	gateway *sandboxGateway
	cancel  context.CancelFunc
	done    chan struct{}
	err     error
}

// Start starts a server, waits until it is ready, and stops it when the test
// ends.
func Start(t testing.TB, settings Settings) *Server {
	t.Helper()
	o := options.NewStandaloneOptions()
	o.Storage.BBolt.DataDir = settings.DataDir
	if settings.DataDir == "" {
		o.Storage.BBolt.DataDir = t.TempDir()
	}
	o.Standalone.AdminToken = rand.Text()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Recommended.SecureServing.Listener = listener
	if settings.Sandboxes {
		o.Sandboxes.MaxMemory.Quantity = resource.MustParse(sandboxMemory)
	}
	if settings.Options != nil {
		settings.Options(o)
	}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	opened, err := o.Config(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if settings.Authorizer != nil {
		opened.GenericConfig.Authorization.Authorizer = settings.Authorizer
	}
	server, err := opened.Complete().New()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Server: server, Opened: opened, t: t, cancel: cancel, done: make(chan struct{}),
		Client: &rest.Config{
			Host:            "https://" + listener.Addr().String(),
			BearerToken:     o.Standalone.AdminToken,
			TLSClientConfig: rest.TLSClientConfig{CAData: opened.Authority.Bundle()},
			QPS:             -1,
		},
	}
	if settings.Sandboxes {
		s.gateway = newSandboxGateway(t, server)
	}
	go func() {
		defer close(s.done)
		s.err = server.Run(ctx)
		if err := opened.Close(); s.err == nil {
			s.err = err
		}
	}()
	t.Cleanup(s.Stop)
	s.awaitReady()
	return s
}

// Stop ends the server and waits for it. It may be called repeatedly.
func (s *Server) Stop() {
	s.cancel()
	<-s.done
	if s.err != nil {
		s.t.Errorf("server: %v", s.err)
		s.err = nil
	}
}

// Clients returns the typed clients of the admin.
func (s *Server) Clients() *versioned.Clientset {
	return versioned.NewForConfigOrDie(s.Client)
}

// REST returns a client for paths.
func (s *Server) REST() *rest.RESTClient {
	config := rest.CopyConfig(s.Client)
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = apiserver.Codecs
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

func (s *Server) awaitReady() {
	s.t.Helper()
	client := s.REST()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		select {
		case <-s.done:
			return false, s.err
		default:
		}
		last = client.Get().AbsPath("/readyz").Do(ctx).Error()
		return last == nil, nil
	})
	if err != nil {
		s.t.Fatalf("the server did not become ready: %v; last: %v", err, last)
	}
}
