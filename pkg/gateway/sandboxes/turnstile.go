// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// turnstile bounds who is between connecting and being known, in all and from one
// address.
type turnstile struct {
	mu         sync.Mutex
	all, from  int
	inside     int
	insideFrom map[string]int
}

func newTurnstile(all, from int) *turnstile {
	return &turnstile{all: all, from: from, insideFrom: map[string]int{}}
}

func (t *turnstile) enter(from string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside >= t.all || t.insideFrom[from] >= t.from {
		return false
	}
	t.inside++
	t.insideFrom[from]++
	return true
}

func (t *turnstile) leave(from string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside--
	if t.insideFrom[from]--; t.insideFrom[from] == 0 {
		delete(t.insideFrom, from)
	}
}

// source is the address without its port; all of a unix socket's peers are one.
func source(conn net.Conn) string {
	if host, _, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		return host
	}
	return conn.LocalAddr().String()
}

func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}
