// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package carriage_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// echo is the dialling side's server.
type echo struct {
	sandboxpb.UnimplementedAgentServer
	sandboxpb.UnimplementedFilesServer
}

func (echo) Health(context.Context, *sandboxpb.HealthRequest) (*sandboxpb.HealthResponse, error) {
	return &sandboxpb.HealthResponse{Release: "echo"}, nil
}

func (echo) Read(r *sandboxpb.ReadRequest, s sandboxpb.Files_ReadServer) error {
	data := make([]byte, 32<<10-128)
	for left := int(r.Length); left > 0; left -= len(data) {
		if err := s.Send(&sandboxpb.ReadResponse{Data: data[:min(len(data), left)]}); err != nil {
			return err
		}
	}
	return nil
}

// connected is a TLS connection over loopback, both ends.
func connected(t testing.TB) (dialled, accepted net.Conn) {
	t.Helper()
	ca, serving := sandboxdtest.Certificates(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{serving}, NextProtos: []string{carriage.Protocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	result := make(chan net.Conn, 1)
	go func() {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: sandboxdtest.ServerName, NextProtos: []string{carriage.Protocol}})
		if err != nil {
			t.Error(err)
			close(result)
			return
		}
		result <- c
	}()
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := accepted.(*tls.Conn).Handshake(); err != nil {
		t.Fatal(err)
	}
	return <-result, accepted
}

func serve(t testing.TB, dialled net.Conn) (over <-chan error, cancel context.CancelFunc) {
	t.Helper()
	server := carriage.NewServer()
	sandboxpb.RegisterAgentServer(server, echo{})
	sandboxpb.RegisterFilesServer(server, echo{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- carriage.Serve(ctx, server, dialled) }()
	t.Cleanup(func() { cancel(); server.Stop() })
	return done, cancel
}

func TestTheAcceptingSideCallsTheDiallingSide(t *testing.T) {
	t.Parallel()
	dialled, accepted := connected(t)
	serve(t, dialled)
	client, err := carriage.NewClient(accepted)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r, err := sandboxpb.NewAgentClient(client).Health(context.Background(), &sandboxpb.HealthRequest{})
	if err != nil || r.Release != "echo" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestTheEndOfAConnectionShowsOnBothSides(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(dialled, accepted net.Conn, client *carriage.Client, cancel context.CancelFunc){
		"by the caller":         func(_, _ net.Conn, client *carriage.Client, _ context.CancelFunc) { client.Close() },
		"by the server":         func(_, _ net.Conn, _ *carriage.Client, cancel context.CancelFunc) { cancel() },
		"by the wire, dialled":  func(dialled, _ net.Conn, _ *carriage.Client, _ context.CancelFunc) { dialled.Close() },
		"by the wire, accepted": func(_, accepted net.Conn, _ *carriage.Client, _ context.CancelFunc) { accepted.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialled, accepted := connected(t)
			over, cancel := serve(t, dialled)
			client, err := carriage.NewClient(accepted)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			agent := sandboxpb.NewAgentClient(client)
			if _, err := agent.Health(context.Background(), &sandboxpb.HealthRequest{}); err != nil {
				t.Fatal(err)
			}
			end(dialled, accepted, client, cancel)
			for side, done := range map[string]func() bool{
				"server": func() bool {
					select {
					case <-over:
						return true
					default:
						return false
					}
				},
				"client": func() bool {
					select {
					case <-client.Done():
						return true
					default:
						return false
					}
				},
			} {
				deadline := time.Now().Add(10 * time.Second)
				for !done() {
					if time.Now().After(deadline) {
						t.Fatalf("the %s does not know", side)
					}
					time.Sleep(time.Millisecond)
				}
			}
			if _, err := agent.Health(context.Background(), &sandboxpb.HealthRequest{}); err == nil {
				t.Error("a call on a dead connection succeeds")
			}
		})
	}
}

func TestMessagesAreFramedExactly(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := carriage.WriteMessage(&b, &sandboxpb.Hello{Token: "t"}); err != nil {
		t.Fatal(err)
	}
	b.WriteString("PRI * HTTP/2.0")
	var hello sandboxpb.Hello
	if err := carriage.ReadMessage(&b, &hello); err != nil || hello.Token != "t" || b.String() != "PRI * HTTP/2.0" {
		t.Errorf("%v, %v, rest %q", &hello, err, b.String())
	}
	if err := carriage.WriteMessage(io.Discard, &sandboxpb.Hello{Token: strings.Repeat("t", carriage.MaxHello)}); err == nil {
		t.Error("too large a message is written")
	}
	if err := carriage.ReadMessage(strings.NewReader("\x7f\xff\xff\xff"), &hello); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("too large a message is read: %v", err)
	}
}

// BenchmarkCarriage is the measurement that doc.go speaks of.
func BenchmarkCarriage(b *testing.B) {
	for name, connect := range map[string]func(b *testing.B) grpc.ClientConnInterface{
		"http2": func(b *testing.B) grpc.ClientConnInterface {
			dialled, accepted := connected(b)
			serve(b, dialled)
			client, err := carriage.NewClient(accepted)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { client.Close() })
			return client
		},
		"yamux": overYamux,
	} {
		b.Run(name, func(b *testing.B) {
			client := connect(b)
			b.Run("call", func(b *testing.B) {
				agent := sandboxpb.NewAgentClient(client)
				for b.Loop() {
					if _, err := agent.Health(context.Background(), &sandboxpb.HealthRequest{}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("bulk", func(b *testing.B) {
				const size = 64 << 20
				b.SetBytes(size)
				for b.Loop() {
					stream, err := sandboxpb.NewFilesClient(client).Read(context.Background(), &sandboxpb.ReadRequest{Length: size})
					if err != nil {
						b.Fatal(err)
					}
					for {
						if _, err := stream.Recv(); err == io.EOF {
							break
						} else if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		})
	}
}

// overYamux is the other way: the dialling side accepts yamux streams, the accepting
// side opens one for its HTTP/2 connection. Windows are as large as carriage's.
func overYamux(b *testing.B) grpc.ClientConnInterface {
	dialled, accepted := connected(b)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	config.MaxStreamWindowSize = 4 << 20
	listener, err := yamux.Server(dialled, config)
	if err != nil {
		b.Fatal(err)
	}
	opener, err := yamux.Client(accepted, config)
	if err != nil {
		b.Fatal(err)
	}
	server := carriage.NewServer()
	sandboxpb.RegisterAgentServer(server, echo{})
	sandboxpb.RegisterFilesServer(server, echo{})
	go server.Serve(listener)
	client, err := grpc.NewClient("passthrough:///sandbox", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(carriage.StreamWindow), grpc.WithStaticConnWindowSize(4<<20),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return opener.Open() }))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close(); server.Stop(); opener.Close(); listener.Close() })
	return client
}
