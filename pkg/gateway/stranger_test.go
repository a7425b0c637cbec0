// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// stranger is a connection of somebody without a token, who is counted how much
// of theirs the gateway took.
func stranger(t *testing.T, r *rig) (conn *grpc.ClientConn, sent *counted) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.server.Opened.Authority.Bundle())
	sent = &counted{}
	conn, err := grpc.NewClient(r.address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			sent.Conn = conn
			return sent, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, sent
}

type counted struct {
	net.Conn
	bytes atomic.Int64
}

func (c *counted) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	c.bytes.Add(int64(n))
	return n, err
}

// A call's messages are not read before its caller is known: else everybody who
// reaches the port could fill the server's memory.
func TestAStrangersMessageIsNotRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const large = 32 << 20
	long := strings.Repeat("x", large)
	for name, call := range map[string]func(context.Context, *grpc.ClientConn) error{
		"a unary call": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := pb.NewTightbeamControllerClient(conn).GetTurn(ctx, &pb.GetTurnRequest{JobId: long})
			return err
		},
		"a stream": func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := pb.NewTightbeamControllerClient(conn).Turn(ctx, &pb.TurnRequest{Agent: &long})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"a service that is none": func(ctx context.Context, conn *grpc.ClientConn) error {
			return conn.Invoke(ctx, "/nobody.v1.Nothing/Do", &pb.GetTurnRequest{JobId: long}, &pb.TurnAssignment{})
		},
	} {
		conn, sent := stranger(t, r)
		err := call(testContext(t), conn)
		if code := status.Code(err); code != codes.Unauthenticated && code != codes.Unimplemented {
			t.Errorf("%s: %v", name, err)
		}
		_ = conn.Close()
		if sent.bytes.Load() > large/8 {
			t.Errorf("%s: the gateway took %d bytes of a stranger", name, sent.bytes.Load())
		}
	}
}

func TestAStrangerLearnsThatTheGatewayServesAndNothingElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conn, sent := stranger(t, r)
	health := healthpb.NewHealthClient(conn)
	for _, service := range []string{"", "tightbeam.v1.TightbeamController", strings.Repeat("x", 32<<20)} {
		response, err := health.Check(testContext(t), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || response.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %.40q: %v, %v", service, response, err)
		}
	}
	if sent.bytes.Load() > 4<<20 {
		t.Errorf("the gateway took %d bytes of a stranger", sent.bytes.Load())
	}
	// It would be a stream for as long as a stranger likes.
	watch, err := health.Watch(testContext(t), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("watching health: %v", err)
	}
	for _, method := range []string{"GetTurn", "StreamTurnResult", "StreamTurnResultAcked", "Turn", "ListModels", "ChannelStream", "Subscribe"} {
		stream, err := conn.NewStream(testContext(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/tightbeam.v1.TightbeamController/"+method)
		if err == nil {
			err = stream.RecvMsg(&pb.TurnAck{})
		}
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, method := range pb.TightbeamController_ServiceDesc.Methods {
		if method.MethodName != "GetTurn" && method.MethodName != "ListModels" {
			t.Errorf("%s is not in the table above", method.MethodName)
		}
	}
	if n := len(pb.TightbeamController_ServiceDesc.Streams); n != 5 {
		t.Errorf("there are %d streams, not all of them in the table above", n)
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := metadata.AppendToOutgoingContext(testContext(t), "x-much", strings.Repeat("x", 1<<20))
	_, err := r.client("admin").ListModels(ctx, &pb.ListModelsRequest{})
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a megabyte of metadata: %v", err)
	}
	if _, err := r.client("admin").ListModels(testContext(t), &pb.ListModelsRequest{}); err != nil {
		t.Errorf("after that: %v", err)
	}
}
