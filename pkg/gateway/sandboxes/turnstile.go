// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// turnstile bounds who is between connecting and being known: how many in all, how
// many from one address, and how often from one address, since each may cost a call
// of the authenticator.
type turnstile struct {
	now func() time.Time

	mu      sync.Mutex
	inside  int
	sources map[string]*visits
}

// visits of one address: those that are inside, and a bucket of those that may come.
type visits struct {
	inside int
	left   float64
	at     time.Time
}

const (
	visitsPerSecond = 10
	visitsAtOnce    = 50
	// maxSources are remembered; beyond that those who have been away long enough to
	// have a full bucket are forgotten.
	maxSources = 4096
)

func newTurnstile(now func() time.Time) *turnstile {
	return &turnstile{now: now, sources: map[string]*visits{}}
}

func (t *turnstile) enter(from string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	v := t.sources[from]
	if v == nil {
		if len(t.sources) >= maxSources {
			t.forget(now)
		}
		v = &visits{left: visitsAtOnce, at: now}
		t.sources[from] = v
	}
	v.refill(now)
	if t.inside >= maxGreeting || v.inside >= maxGreetingFrom || v.left < 1 {
		return false
	}
	v.left--
	v.inside++
	t.inside++
	return true
}

func (t *turnstile) leave(from string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside--
	t.sources[from].inside--
}

func (t *turnstile) forget(now time.Time) {
	for from, v := range t.sources {
		if v.refill(now); v.inside == 0 && v.left >= visitsAtOnce {
			delete(t.sources, from)
		}
	}
}

func (v *visits) refill(now time.Time) {
	v.left = min(visitsAtOnce, v.left+now.Sub(v.at).Seconds()*visitsPerSecond)
	v.at = now
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
