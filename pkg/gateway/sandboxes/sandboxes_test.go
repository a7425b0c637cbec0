// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	os.Exit(m.Run())
}

// gateway is a server with its pods' tokens, on a socket.
type gateway struct {
	*sandboxes.Server
	ca      []byte
	serving tls.Certificate
	address string
	events  *events

	mu     sync.Mutex
	tokens map[string]types.UID
}

func (g *gateway) Authenticate(_ context.Context, token string) (types.UID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if uid, ok := g.tokens[token]; ok {
		return uid, nil
	}
	return "", sandboxes.ErrUnauthenticated
}

func (g *gateway) allow(token string, uid types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[token] = uid
}

// events records what the observer is told.
type events struct {
	ch chan string
}

func (e *events) add(kind string, uid types.UID, reason error) {
	e.ch <- fmt.Sprintf("%s %s", kind, uid)
}
func (e *events) Connected(uid types.UID)             { e.add("connected", uid, nil) }
func (e *events) Disconnected(uid types.UID, r error) { e.add("disconnected", uid, r) }
func (e *events) Refused(uid types.UID, r error)      { e.add("refused", uid, r) }
func (e *events) Misbehaved(uid types.UID, r error)   { e.add("misbehaved", uid, r) }
func (e *events) expect(t testing.TB, want string) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case got := <-e.ch:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("no event %q", want)
		}
	}
}

func newGateway(t testing.TB) *gateway {
	t.Helper()
	g := &gateway{tokens: map[string]types.UID{}, events: &events{ch: make(chan string, 1000)}}
	g.ca, g.serving = sandboxdtest.Certificates(t)
	g.start(t, filepath.Join(t.TempDir(), "gateway.sock"))
	return g
}

// start serves on a socket until the test ends or stop is called.
func (g *gateway) start(t testing.TB, path string) (stop func()) {
	t.Helper()
	g.Server = sandboxes.NewServer(sandboxes.Options{
		TLS:           &tls.Config{Certificates: []tls.Certificate{g.serving}},
		Authenticator: g, Observer: g.events, ReconnectTimeout: 10 * time.Second,
	})
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g.address = "unix:" + path
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	server := g.Server
	go func() { server.Serve(ctx, l); close(served) }()
	stop = sync.OnceFunc(func() { cancel(); server.Close(); <-served })
	t.Cleanup(stop)
	return stop
}

// sandbox starts a sandboxd and waits for it.
func (g *gateway) sandbox(t testing.TB, uid types.UID, change ...func(*sandboxdtest.Config)) (*sandboxes.Sandbox, *sandboxdtest.Process, string) {
	t.Helper()
	workspace := t.TempDir()
	c := sandboxdtest.Config{Gateway: g.address, CA: g.ca, TokenFile: tokenFile(t, "token-"+string(uid)), WritablePaths: []string{workspace}}
	for _, f := range change {
		f(&c)
	}
	g.allow("token-"+string(uid), uid)
	p := sandboxdtest.Start(t, c)
	sb := g.Sandbox(uid)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := sb.Wait(ctx); err != nil {
		t.Fatalf("sandboxd did not connect: %v\n%s", err, p.Output)
	}
	return sb, p, workspace
}

func tokenFile(t testing.TB, token string) string {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var ids = make(chan string)

func init() {
	go func() {
		for i := 0; ; i++ {
			ids <- fmt.Sprintf("process-%d", i)
		}
	}()
}

// output gathers both streams.
type output struct{ stdout, stderr bytes.Buffer }

func (o *output) take(c sandboxes.Chunk) error {
	if c.Stderr {
		o.stderr.Write(c.Data)
	} else {
		o.stdout.Write(c.Data)
	}
	return nil
}

func sh(script string) sandboxes.Command {
	return sandboxes.Command{ID: <-ids, Argv: []string{"/bin/sh", "-c", script}}
}

func mustRun(t testing.TB, sb *sandboxes.Sandbox, c sandboxes.Command, s sandboxes.Streams) (sandboxes.Exit, *output) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	out := &output{}
	if s.Output == nil {
		s.Output = out.take
	}
	exit, err := sb.Run(ctx, c, s)
	if err != nil {
		t.Fatalf("running %q: %v", c.Argv, err)
	}
	return exit, out
}
