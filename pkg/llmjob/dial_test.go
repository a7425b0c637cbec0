// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTokenIsReadAgainForEveryCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	runJob(t, config(g, nil))
	g.turns <- turn("u1", "one", "")
	g.waitTerminal("u1/1")
	g.write("token", "token-2\n")
	g.turns <- turn("u2", "two", "")
	g.waitTerminal("u2/1")
	g.mu.Lock()
	defer g.mu.Unlock()
	if first, last := g.auth[0], g.auth[len(g.auth)-1]; first != "Bearer token-1" || last != "Bearer token-2" {
		t.Errorf("tokens %q and %q", first, last)
	}
}

func TestGatewayOfAnotherCAIsNotSpokenTo(t *testing.T) {
	t.Parallel()
	g, other := newGateway(t), newGateway(t)
	cfg := config(g, nil)
	cfg.CAFile = filepath.Join(other.dir, "ca.crt")
	short := fast
	short.patience = 50 * time.Millisecond
	cfg.timing = &short
	err := Run(t.Context(), cfg)
	if code, msg := ExitCode(err); code != ExitGateway || !strings.Contains(msg, "certificate") {
		t.Errorf("exit %d, %q", code, msg)
	}
	if len(g.auth) != 0 {
		t.Error("the token was shown to a gateway that is not ours")
	}
}

func TestJobThatTheGatewayDoesNotKnowLeaves(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		wait time.Duration
	}{
		"no such model":        {status.Error(codes.NotFound, `model "m" does not exist`), 0},
		"identity not known":   {status.Error(codes.Unauthenticated, "unknown token"), 30 * time.Millisecond},
		"identity not allowed": {status.Error(codes.PermissionDenied, "not your model"), 30 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			g.onGetTurn = func() error { return tc.err }
			cfg := config(g, nil)
			short := fast
			short.refusals = 30 * time.Millisecond
			cfg.timing = &short
			start := time.Now()
			code, msg := ExitCode(Run(t.Context(), cfg))
			if code != ExitGateway || !strings.HasPrefix(msg, ReasonGateway+": ") || !strings.Contains(msg, status.Convert(tc.err).Message()) {
				t.Errorf("exit %d, %q", code, msg)
			}
			if took := time.Since(start); took < tc.wait {
				t.Errorf("left after %s, before its identity could become known", took)
			}
		})
	}
}
