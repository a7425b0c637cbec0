// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// dialled is a peer that speaks for itself.
func (g *gateway) dial(t testing.TB) *tls.Conn {
	t.Helper()
	raw, err := net.Dial("unix", strings.TrimPrefix(g.address, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(g.ca)
	conn := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: sandboxdtest.ServerName, NextProtos: []string{carriage.Protocol}})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// hello says hello and returns the answer.
func (g *gateway) hello(t testing.TB, token string, instance byte) (*tls.Conn, *sandboxpb.Welcome) {
	t.Helper()
	conn := g.dial(t)
	if err := carriage.WriteMessage(conn, &sandboxpb.Hello{Token: token, Instance: bytes.Repeat([]byte{instance}, carriage.InstanceBytes)}); err != nil {
		t.Fatal(err)
	}
	welcome := &sandboxpb.Welcome{}
	if err := carriage.ReadMessage(conn, welcome); err != nil {
		t.Fatal(err)
	}
	return conn, welcome
}

func TestAConnectionNeedsATokenThatIsASandboxs(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	_, welcome := g.hello(t, "made up", 1)
	if welcome.Verdict != sandboxpb.Welcome_UNAUTHENTICATED {
		t.Errorf("got %v", welcome)
	}
	if len(g.Connected()) != 0 {
		t.Errorf("connected: %v", g.Connected())
	}
}

func TestASecondSandboxdOfAPodIsRefusedAndReported(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	sb, _, _ := g.sandbox(t, "pod")
	_, welcome := g.hello(t, "token-pod", 1)
	if welcome.Verdict != sandboxpb.Welcome_DUPLICATE {
		t.Errorf("got %v", welcome)
	}
	g.events.expect(t, "refused pod")
	if _, out := mustRun(t, sb, sh("echo fine"), sandboxes.Streams{}); out.stdout.String() != "fine\n" {
		t.Errorf("the first one says %q", out.stdout.String())
	}
}

func TestASecondSandboxdIsRefusedAlsoWhileTheFirstIsAway(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.allow("token", "pod")
	conn, welcome := g.hello(t, "token", 1)
	if welcome.Verdict != sandboxpb.Welcome_ACCEPTED {
		t.Fatalf("got %v", welcome)
	}
	conn.Close()
	g.events.expect(t, "disconnected pod")
	if _, welcome := g.hello(t, "token", 2); welcome.Verdict != sandboxpb.Welcome_DUPLICATE {
		t.Errorf("another instance: %v", welcome)
	}
	if _, welcome := g.hello(t, "token", 1); welcome.Verdict != sandboxpb.Welcome_ACCEPTED {
		t.Errorf("the same instance: %v", welcome)
	}
}

func TestTheSameSandboxdReplacesItsConnection(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.allow("token", "pod")
	first, _ := g.hello(t, "token", 1)
	if _, welcome := g.hello(t, "token", 1); welcome.Verdict != sandboxpb.Welcome_ACCEPTED {
		t.Fatalf("got %v", welcome)
	}
	first.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, first); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the first connection is still open")
	}
	eventually(t, func() bool { return len(g.Connected()) == 1 })
}

func TestAForgottenPodIsGone(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	sb, p, _ := g.sandbox(t, "pod")
	done := make(chan error, 1)
	go func() {
		_, err := sb.Run(context.Background(), sh("sleep 1000"), sandboxes.Streams{Started: func(time.Time) { go g.Forget("pod") }})
		done <- err
	}()
	if err := <-done; !errors.Is(err, sandboxes.ErrLost) || !errors.Is(err, sandboxes.ErrGone) {
		t.Errorf("got %v", err)
	}
	_ = p
}

func TestACallDoesNotMakeAForgottenPodKnownAgain(t *testing.T) {
	t.Parallel()
	server := sandboxes.NewServer(sandboxes.Options{TLS: &tls.Config{}, MaxPods: 1})
	defer server.Close()
	stale := server.Sandbox("gone")
	server.Forget("gone")
	if err := stale.Wait(t.Context()); !errors.Is(err, sandboxes.ErrGone) {
		t.Errorf("waiting for it: %v", err)
	}
	if err := stale.Delete(t.Context(), "/tmp/x", true); !errors.Is(err, sandboxes.ErrGone) {
		t.Errorf("a call: %v", err)
	}
	if err := server.Lookup("gone").Delete(t.Context(), "/tmp/x", true); !errors.Is(err, sandboxes.ErrNotConnected) {
		t.Errorf("a call on what was looked up: %v", err)
	}
	// There is room for one pod, and it is free.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Sandbox("next").Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the next one: %v", err)
	}
}

func TestACallOnASandboxThatIsAwayEndsInTime(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Sandbox("nobody").Run(ctx, sh("true"), sandboxes.Streams{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestARotatedTokenIsReadAgain(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	path := tokenFile(t, "old and expired")
	g.allow("new", "pod")
	sandboxdtest.Start(t, sandboxdtest.Config{Gateway: g.address, CA: g.ca, TokenFile: path, WritablePaths: []string{t.TempDir()}})
	if err := os.WriteFile(path, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.events.expect(t, "connected pod")
}

func TestAProcessOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	proxy := newProxy(t, g)
	sb, _, _ := g.sandbox(t, "pod", func(c *sandboxdtest.Config) { c.Gateway = proxy.address })
	out := &output{}
	in, stdin := io.Pipe()
	lines, cuts := 0, 0
	exit, _ := mustRun(t, sb, sandboxes.Command{ID: <-ids, Argv: []string{"cat"}}, sandboxes.Streams{Stdin: in, Output: func(c sandboxes.Chunk) error {
		out.take(c)
		if strings.Count(out.stdout.String(), "\n") > lines {
			lines++
			switch {
			case lines == 5:
				stdin.Close()
			case cuts < 3:
				cuts++
				proxy.cut()
				fallthrough
			default:
				go io.WriteString(stdin, strings.Repeat("x", lines*1000)+"\n")
			}
		}
		return nil
	}, Started: func(time.Time) { go io.WriteString(stdin, "first\n") }})
	want := "first\n"
	for i := 1; i < 5; i++ {
		want += strings.Repeat("x", i*1000) + "\n"
	}
	if exit.Code != 0 || out.stdout.String() != want || cuts != 3 {
		t.Errorf("exit %+v, %d bytes of %d, %d cuts", exit, out.stdout.Len(), len(want), cuts)
	}
}

func TestOutputOfABrokenConnectionArrivesOnceAndWhole(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	proxy := newProxy(t, g)
	sb, _, _ := g.sandbox(t, "pod", func(c *sandboxdtest.Config) { c.Gateway = proxy.address })
	var all bytes.Buffer
	next := 1 << 20
	exit, _ := mustRun(t, sb, sh("seq 1 1000000"), sandboxes.Streams{Output: func(c sandboxes.Chunk) error {
		all.Write(c.Data)
		if all.Len() > next {
			next += 1 << 20
			proxy.cut()
		}
		return nil
	}})
	if exit.Code != 0 || all.Len() != 6888896 || !strings.HasSuffix(all.String(), "\n999999\n1000000\n") {
		t.Errorf("exit %+v, %d bytes", exit, all.Len())
	}
}

func TestAProcessOutlivesTheGatewayAndIsAttachedToAgain(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	path := strings.TrimPrefix(g.address, "unix:")
	stop := g.start(t, path)
	sb, _, workspace := g.sandbox(t, "pod")
	c := sh("echo one; until [ -e go ]; do sleep 0.01; done; echo two; exit 3")
	c.Survive = true
	var last uint64
	first := errors.New("the gateway is killed")
	_, err := sb.Run(context.Background(), c, sandboxes.Streams{Output: func(c sandboxes.Chunk) error { last = c.Number; return first }})
	if !errors.Is(err, first) {
		t.Fatalf("got %v", err)
	}
	stop()
	if err := os.WriteFile(workspace+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	g.start(t, path)
	out := &output{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	exit, err := g.Sandbox("pod").Attach(ctx, c.ID, last, sandboxes.OutputPolicy{}, sandboxes.Streams{Output: out.take})
	if err != nil || exit.Code != 3 || out.stdout.String() != "two\n" {
		t.Errorf("exit %+v, %v, output %q", exit, err, out.stdout.String())
	}
}

func TestAttachingToAnUnknownProcessIsLost(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	if _, err := sb.Attach(context.Background(), "never", 0, sandboxes.OutputPolicy{}, sandboxes.Streams{}); !errors.Is(err, sandboxes.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestAnIdRunsOnce(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	c := sh("echo x >> count; until [ -e go ]; do sleep 0.01; done; exit 3")
	type result struct {
		exit sandboxes.Exit
		err  error
	}
	results := make(chan result, 2)
	for range 2 {
		go func() {
			exit, err := sb.Run(context.Background(), c, sandboxes.Streams{})
			results <- result{exit, err}
		}()
	}
	// One of the two takes the process over, and has it to its end; the other one is
	// told so, and leaves it alone.
	if loser := <-results; !errors.Is(loser.err, sandboxes.ErrLost) {
		t.Errorf("the one that lost it was told %v", loser.err)
	}
	if err := os.WriteFile(workspace+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if owner := <-results; owner.err != nil || owner.exit.Code != 3 {
		t.Errorf("the one that has it: %+v, %v", owner.exit, owner.err)
	}
	if b, _ := os.ReadFile(workspace + "/count"); string(b) != "x\n" {
		t.Errorf("it ran %q", b)
	}
}

func TestConfigureIsForOneSandboxForLife(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	ctx := context.Background()
	one := sandboxes.Configuration{SandboxUID: "one", Env: []sandboxes.EnvVar{{Name: "A", Value: "1"}}, WorkingDir: "/usr"}
	if err := sb.Configure(ctx, one); err != nil {
		t.Fatal(err)
	}
	if _, out := mustRun(t, sb, sh("echo $A; pwd"), sandboxes.Streams{}); out.stdout.String() != "1\n/usr\n" {
		t.Errorf("output %q", out.stdout.String())
	}
	one.Env[0].Value, one.WorkingDir = "2", workspace
	if err := sb.Configure(ctx, one); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, out := mustRun(t, sb, sh("echo $A; pwd"), sandboxes.Streams{}); out.stdout.String() != "2\n"+workspace+"\n" {
		t.Errorf("output %q", out.stdout.String())
	}
	if err := sb.Configure(ctx, sandboxes.Configuration{SandboxUID: "two"}); err == nil || !strings.Contains(err.Error(), "another sandbox") {
		t.Errorf("for another sandbox: %v", err)
	}
	if err := sb.Configure(ctx, sandboxes.Configuration{SandboxUID: "one", Env: []sandboxes.EnvVar{{Name: "A=B"}}}); err == nil {
		t.Error("a name with '=' is taken")
	}
	if err := sb.Configure(ctx, sandboxes.Configuration{SandboxUID: "one", WritablePaths: []string{"/no/such"}}); err == nil {
		t.Error("a path that is not there is taken")
	}
	if err := sb.Configure(ctx, sandboxes.Configuration{SandboxUID: "one", MaxProcesses: 1}); err != nil {
		t.Error(err)
	}
	started := make(chan struct{})
	ended, end := context.WithCancel(ctx)
	defer end()
	go sb.Run(ended, sh("sleep 1000"), sandboxes.Streams{Started: func(time.Time) { close(started) }})
	<-started
	var refused *sandboxes.StartError
	if _, err := sb.Run(ctx, sh("true"), sandboxes.Streams{}); !errors.As(err, &refused) || refused.Reason != sandboxpb.NotStarted_EXHAUSTED {
		t.Errorf("one process too many: %v", err)
	}
}

// proxy is a wire that can be cut.
type proxy struct {
	address string
	cuts    chan struct{}
}

func (p *proxy) cut() { p.cuts <- struct{}{} }

func newProxy(t testing.TB, g *gateway) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{address: l.Addr().String(), cuts: make(chan struct{}, 100)}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", strings.TrimPrefix(g.address, "unix:"))
			if err != nil {
				in.Close()
				continue
			}
			over := make(chan struct{}, 2)
			go func() { io.Copy(out, in); over <- struct{}{} }()
			go func() { io.Copy(in, out); over <- struct{}{} }()
			select {
			case <-over:
			case <-p.cuts:
			}
			in.Close()
			out.Close()
		}
	}()
	return p
}
