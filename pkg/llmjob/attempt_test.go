// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/echo"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// hangs streams one delta, then waits for its end and reports it.
func hangs(ended chan<- error, visible bool) callFunc {
	return func(ctx context.Context, _ *provider.Request, emit provider.Emit) (*provider.Result, error) {
		a := provider.NewAnswer("test", "m", emit)
		b, _ := a.Start(provider.KindText)
		if visible {
			_ = b.Write("x")
		}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, provider.FromTransport(ctx, ctx.Err())
	}
}

func TestCancelStopsTheProvidersCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.onChunk = func(_ string, _ int, c *tightbeampb.TurnResultChunk) verdict {
		if c.GetContentDelta() != nil {
			return cancelIt
		}
		return keep
	}
	ended := make(chan error, 1)
	stop := runJob(t, config(g, hangs(ended, true)))
	g.turns <- turn("u1", "", "")
	if err := <-ended; !errors.Is(err, errTurnOver) {
		t.Errorf("the provider's call ended with %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.durable["u1/1"] {
		if terminal(c) {
			t.Error("a terminal chunk was sent for an attempt that the gateway had ended")
		}
	}
}

func TestLostLeaseEndsTheAttemptAndNotTheJob(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	var fenced atomic.Bool
	g.onOpen = func(key string) error {
		if key == "u1/1" && fenced.Load() {
			return status.Error(codes.FailedPrecondition, "attempt 1 has lost its lease")
		}
		return nil
	}
	g.onChunk = func(key string, _ int, c *tightbeampb.TurnResultChunk) verdict {
		if key == "u1/1" && c.GetContentDelta() != nil {
			fenced.Store(true)
			return breakOff
		}
		return keep
	}
	ended := make(chan error, 2)
	hang := hangs(ended, true)
	runJob(t, config(g, callFunc(func(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
		if provider.PlainText(req.Messages[0].Content) == "hang" {
			return hang(ctx, req, emit)
		}
		return echo.New().Call(ctx, req, emit)
	})))
	g.turns <- turn("u1", "hang", "")
	if err := <-ended; !errors.Is(err, errAbandoned) {
		t.Errorf("the provider's call ended with %v", err)
	}
	g.turns <- turn("u2", "next", "")
	if got := text(g.waitTerminal("u2/1")); got != "next" {
		t.Errorf("the next turn: %q", got)
	}
}

// A gateway that answers each connection, but never takes anything, must not
// hold a slot of the job for ever.
func TestAttemptThatIsNeverTakenIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"identity": status.Error(codes.Unauthenticated, "token expired"),
		"overload": status.Error(codes.Unavailable, "try again"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			g.onOpen = func(key string) error {
				if key == "u1/1" {
					return refusal
				}
				return nil
			}
			cfg := config(g, nil)
			short := fast
			short.refusals, short.patience = time.Second, 1500*time.Millisecond
			cfg.timing, cfg.TurnsPerJob = &short, 1
			runJob(t, cfg)
			g.turns <- turn("u1", "", `{"deltas":3}`)
			g.turns <- turn("u2", "next", "")
			if got := text(g.waitTerminal("u2/1")); got != "next" {
				t.Errorf("the next turn: %q", got)
			}
			if n := g.opened("u1/1"); n < 2 {
				t.Errorf("given up after %d connections", n)
			}
		})
	}
}

// The stack is all that whoever mends it has, and the key is not in it.
func TestPanicOfAnAdapterEndsOneAttempt(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	cfg := config(g, callFunc(func(context.Context, *provider.Request, provider.Emit) (*provider.Result, error) {
		panic("strange answer to " + canary)
	}))
	cfg.SecretDir = t.TempDir()
	writeSecret(t, cfg.SecretDir, map[string]string{"provider": "anthropic", "model": "m", "api-key": canary})
	log := &strings.Builder{}
	cfg.Log = slog.New(slog.NewJSONHandler(&locked{w: log}, nil))
	stop := runJob(t, cfg)
	for _, uid := range []string{"u1", "u2"} {
		g.turns <- turn(uid, "", "")
		e := g.waitTerminal(uid + "/1")[0].GetError()
		if e.GetClass() != tightbeampb.ErrorClass_ERROR_CLASS_INTERNAL || !strings.Contains(e.GetMessage(), "strange answer") || strings.Contains(e.GetMessage(), "canary") {
			t.Errorf("terminal chunk: %v", e)
		}
	}
	_ = stop()
	if said := log.String(); !strings.Contains(said, "job_test.go") || strings.Contains(said, "canary") {
		t.Errorf("log: %s", said)
	}
}

func TestDeadlineOfTheTurnEndsTheCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	runJob(t, config(g, hangs(make(chan error, 1), false)))
	a := turn("u1", "", "")
	a.DeadlineUnixMillis = time.Now().Add(50 * time.Millisecond).UnixMilli()
	g.turns <- a
	cs := g.waitTerminal("u1/1")
	if got := cs[len(cs)-1].GetError().GetClass(); got != tightbeampb.ErrorClass_ERROR_CLASS_TIMEOUT {
		t.Errorf("class %v, want Timeout", got)
	}
}
