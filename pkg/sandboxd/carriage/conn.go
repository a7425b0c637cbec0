// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package carriage

import (
	"net"
	"sync"
)

// conn is a connection that tells when it was closed, by whichever side of gRPC.
type conn struct {
	net.Conn
	once sync.Once
	done chan struct{}
	err  error
}

func watch(c net.Conn) *conn {
	return &conn{Conn: c, done: make(chan struct{})}
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.err = c.Conn.Close()
		close(c.done)
	})
	return c.err
}
