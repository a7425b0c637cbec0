// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package carriage

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Windows and limits of the calling side. The peer is hostile, and what it sends
// unasked is held in memory: at most StreamWindow for each call that is open.
const (
	StreamWindow = 1 << 20
	connWindow   = 4 << 20

	// MaxMessage bounds a message in either direction.
	MaxMessage = 1 << 20

	maxHeaders = 16 << 10

	// pingAfter and pingTimeout: a peer that is gone without a word is noticed
	// within their sum. grpc-go allows a client no shorter interval than 10 s.
	pingAfter   = 10 * time.Second
	pingTimeout = 10 * time.Second
)

// ErrConnectionLost is what a dead carriage dials into.
var ErrConnectionLost = errors.New("the sandbox's connection is lost")

// A Client calls the server at the other end of a connection that was accepted.
type Client struct {
	*grpc.ClientConn
	conn *conn
}

// NewClient turns an accepted connection round. It owns c from now on.
func NewClient(c net.Conn) (*Client, error) {
	watched := watch(c)
	var taken atomic.Bool
	cc, err := grpc.NewClient("passthrough:///sandbox",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if taken.Swap(true) {
				return nil, ErrConnectionLost
			}
			return watched, nil
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // TLS lies below
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0), // an idle connection may not be dropped: it cannot be dialled again
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithStaticStreamWindowSize(StreamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
	)
	if err != nil {
		watched.Close()
		return nil, err
	}
	cc.Connect()
	return &Client{ClientConn: cc, conn: watched}, nil
}

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.conn.done }

// Close ends the connection and every call on it.
func (c *Client) Close() error {
	err := c.ClientConn.Close()
	// A ClientConn that has not yet dialled does not know of the connection.
	c.conn.Close()
	return err
}
