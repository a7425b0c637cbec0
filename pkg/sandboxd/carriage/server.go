// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package carriage

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Server-side windows are small: sandboxd has to stay below 10 MB.
const (
	serverWindow     = 512 << 10
	serverConnWindow = 2 << 20
	serverBuffer     = 32 << 10

	// MaxCalls bounds the calls open at one time on a sandbox.
	MaxCalls = 512
)

// NewServer makes the server that Serve turns connections over to.
func NewServer(options ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append([]grpc.ServerOption{
		grpc.StaticStreamWindowSize(serverWindow),
		grpc.StaticConnWindowSize(serverConnWindow),
		grpc.ReadBufferSize(serverBuffer),
		grpc.WriteBufferSize(serverBuffer),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(MaxCalls),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(10 * time.Second),
	}, options...)...)
}

// Serve serves the peer of a dialled connection until the connection or ctx is
// over. It owns c.
func Serve(ctx context.Context, server *grpc.Server, c net.Conn) error {
	listener := &once{conn: watch(c), addr: c.LocalAddr()}
	stop := context.AfterFunc(ctx, func() { listener.conn.Close() })
	defer stop()
	defer listener.conn.Close()
	err := server.Serve(listener)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// once is a listener that accepts one connection, and whose end is the
// connection's end.
type once struct {
	mu    sync.Mutex
	given bool
	conn  *conn
	addr  net.Addr
}

func (l *once) Accept() (net.Conn, error) {
	l.mu.Lock()
	given := l.given
	l.given = true
	l.mu.Unlock()
	if !given {
		return l.conn, nil
	}
	<-l.conn.done
	return nil, ErrConnectionLost
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return l.addr }
