// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"safebeam.dev/safebeam/pkg/gateway/channels"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

const (
	// MaxMessageSize bounds a gRPC message both ways.
	MaxMessageSize = 64 << 20
	// maxStreams bounds the calls of one connection. A job holds one for each
	// turn it runs.
	maxStreams = 10000
	// maxHeaderBytes bounds the metadata of a call, which is read before anybody
	// knows whose it is. Tokens are the largest part of it.
	maxHeaderBytes = 64 << 10
	// handshakeTimeout bounds how long a connection may take to become one.
	handshakeTimeout = 15 * time.Second
	// shutdownGrace is how long calls may take to end when the server stops.
	shutdownGrace = 3 * time.Second
)

// Options of a Server.
type Options struct {
	Broker *turns.Broker
	// Jobs knows the tokens of jobs, Users those of everybody else. Either
	// may be nil.
	Jobs  Jobs
	Users authenticator.Token
	// API is the API server as an agent sees it. Nil: agents are not served.
	API API
	// Channels joins the jobs of channels. Nil: they are not served. Its owner
	// runs it.
	Channels *channels.Hub
	// TLS has the certificate of the gateway.
	TLS *tls.Config
}

// Server serves the gateway.
type Server struct {
	options Options
	pb.UnimplementedTightbeamControllerServer
}

// New returns a server that does not listen yet.
func New(o Options) *Server { return &Server{options: o} }

// Serve serves on a TLS listener until ctx ends, and then ends every call.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if s.options.TLS == nil {
		return errors.New("gateway: no certificate")
	}
	return s.serve(ctx, listener, callers{jobs: s.options.Jobs, users: s.options.Users},
		grpc.Creds(credentials.NewTLS(s.options.TLS)))
}

// ServeInsecure serves without TLS and without tokens, for the seed's clients.
// Everybody who reaches the listener is identity, as a job, and user, as an
// agent; so it must be a loopback or a unix socket.
func (s *Server) ServeInsecure(ctx context.Context, listener net.Listener, identity Identity, agent user.Info) error {
	switch address := listener.Addr().(type) {
	case *net.UnixAddr:
	case *net.TCPAddr:
		if !address.IP.IsLoopback() {
			return fmt.Errorf("gateway: %s is no loopback address: without TLS and tokens the gateway listens on a loopback address or a unix socket only", address)
		}
	default:
		return fmt.Errorf("gateway: cannot tell whether %s is local", listener.Addr())
	}
	return s.serve(ctx, listener, callers{fixed: &caller{job: &identity, user: agent, insecure: true}})
}

func (s *Server) serve(ctx context.Context, listener net.Listener, who callers, extra ...grpc.ServerOption) error {
	who.stopping = ctx
	server := grpc.NewServer(append(extra,
		grpc.MaxRecvMsgSize(MaxMessageSize),
		grpc.MaxSendMsgSize(MaxMessageSize),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshakeTimeout),
		// A peer that is gone without a word is noticed, so that its turns
		// can go on elsewhere.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)...)
	server.RegisterService(who.service(pb.TightbeamController_ServiceDesc), s)
	probes := health.NewServer()
	server.RegisterService(healthService(probes), nil)

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	probes.Shutdown()
	stopped := make(chan struct{})
	go func() { server.GracefulStop(); close(stopped) }()
	timer := time.NewTimer(shutdownGrace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		server.Stop()
	}
	<-served
	<-stopped
	return nil
}

type callerKey struct{}

func callerOf(ctx context.Context) *caller { return ctx.Value(callerKey{}).(*caller) }

// untilStop ends with the call or with the server, whichever is first: what
// only waits does not hold up a stop.
func untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(callerOf(ctx).stopping, func() { cancel(turns.ErrStopped) })
	return ctx, func() { stop(); cancel(nil) }
}

// whyEnded tells a stop from a caller that went away.
func whyEnded(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), turns.ErrStopped) {
		return turns.ErrStopped
	}
	return err
}

// wireError makes an error of the broker one that a job can act on.
func wireError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, turns.ErrFenced), errors.Is(err, turns.ErrAmbiguous):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.As(err, new(*turns.ChunkError)):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, turns.ErrStopped):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "no turn came in time")
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the caller went away")
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}
