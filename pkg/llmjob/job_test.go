// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
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

// callFunc is a provider that a test writes.
type callFunc func(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error)

func (f callFunc) Call(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
	return f(ctx, req, emit)
}

var fast = timing{minBackoff: time.Millisecond, maxBackoff: 20 * time.Millisecond, header: 20 * time.Millisecond, patience: 20 * time.Second, refusals: 5 * time.Second, flush: 5 * time.Second}

func config(g *gateway, p provider.Provider) Config {
	if p == nil {
		p = echo.New()
	}
	return Config{
		ControllerAddr: g.addr, ModelName: "m", JobID: "job-1",
		CAFile: filepath.Join(g.dir, "ca.crt"), TokenFile: filepath.Join(g.dir, "token"),
		TurnsPerJob: 4, ShutdownGrace: 10 * time.Second,
		NewProvider: func(string, provider.Config) (provider.Provider, error) { return p, nil },
		Log:         slog.New(slog.DiscardHandler),
		timing:      &fast,
	}
}

// runJob runs a job until the test's end, and returns how to end it before.
func runJob(t *testing.T, cfg Config) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	var err error
	stopped := false
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			select {
			case err = <-done:
			case <-time.After(40 * time.Second):
				t.Fatal("the job does not leave")
			}
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestTurnIsAnsweredInBlocks(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	runJob(t, config(g, nil))
	g.turns <- turn("u1", "", `{"thinking":"let me see","answer":"good day to you","toolCalls":[{"name":"look","input":{"at":"it"}}]}`)
	got := g.waitTerminal("u1/1")

	var steps []string
	for _, c := range got {
		switch x := c.GetChunk().(type) {
		case *tightbeampb.TurnResultChunk_BlockStart:
			steps = append(steps, "start "+x.BlockStart.GetKind())
		case *tightbeampb.TurnResultChunk_BlockStop:
			steps = append(steps, "stop")
		case *tightbeampb.TurnResultChunk_ContentDelta:
			steps = append(steps, "text "+x.ContentDelta.GetText())
		case *tightbeampb.TurnResultChunk_ThinkingDelta:
			steps = append(steps, "thinking "+x.ThinkingDelta.GetText())
		case *tightbeampb.TurnResultChunk_ToolUseStart:
			steps = append(steps, "tool "+x.ToolUseStart.GetName())
		case *tightbeampb.TurnResultChunk_ToolUseInput:
			steps = append(steps, "input "+x.ToolUseInput.GetPartialJson())
		case *tightbeampb.TurnResultChunk_Usage:
			steps = append(steps, "usage")
		case *tightbeampb.TurnResultChunk_Complete:
			steps = append(steps, "complete "+x.Complete.GetRawStopReason())
		}
	}
	want := []string{
		"start thinking", "thinking let ", "thinking me ", "thinking see", "stop",
		"start text", "text good ", "text day ", "text to ", "text you", "stop",
		"tool look", `input {"at":"it"}`, "stop",
		"usage", "complete tool_use",
	}
	if strings.Join(steps, "|") != strings.Join(want, "|") {
		t.Errorf("chunks\n got %q\nwant %q", steps, want)
	}
	last := got[len(got)-1].GetComplete()
	if last.GetStopReason() != tightbeampb.StopReason_STOP_REASON_TOOL_USE || len(last.GetToolCalls()) != 1 || len(last.GetContent()) != 2 {
		t.Errorf("terminal chunk: %v", last)
	}
}

// The provider goes on only when the gateway has seen its first delta, so a
// delta that waits for a second one would wait for ever.
func TestDeltaLeavesAsItArrives(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	seen := make(chan struct{})
	runJob(t, config(g, callFunc(func(ctx context.Context, _ *provider.Request, emit provider.Emit) (*provider.Result, error) {
		a := provider.NewAnswer("test", "m", emit)
		b, _ := a.Start(provider.KindText)
		if err := b.Write("first"); err != nil {
			return nil, err
		}
		select {
		case <-seen:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return a.Finish(provider.StopEndTurn, "end", "")
	})))
	g.turns <- turn("u1", "", "")
	g.wait("u1/1", func(cs []*tightbeampb.TurnResultChunk) bool { return text(cs) == "first" })
	close(seen)
	g.waitTerminal("u1/1")
}

func TestAnswerSurvivesCutConnectionsAndLostAcknowledgements(t *testing.T) {
	t.Parallel()
	for _, header := range []bool{true, false} {
		for range 8 {
			seed := rand.Uint64()
			t.Run("", func(t *testing.T) {
				t.Parallel()
				t.Logf("seed %d, header %v", seed, header)
				rnd := rand.New(rand.NewPCG(seed, 0))
				g := newGateway(t)
				g.header = header
				cuts := 0
				g.onChunk = func(string, int, *tightbeampb.TurnResultChunk) verdict {
					if cuts >= 20 {
						return keep
					}
					switch r := rnd.IntN(40); {
					case r == 0:
						cuts++
						return breakOff
					case r < 3:
						return lose
					case r < 12:
						return keepQuiet
					}
					return keep
				}
				runJob(t, config(g, nil))
				g.turns <- turn("u1", "", `{"deltas":300}`)
				checkDeltas(t, g.waitTerminal("u1/1"), 300)
			})
		}
	}
}

func checkDeltas(t *testing.T, cs []*tightbeampb.TurnResultChunk, n int) {
	t.Helper()
	want := text(cs)
	last := cs[len(cs)-1].GetComplete()
	if last == nil {
		t.Fatalf("ended with %v", cs[len(cs)-1])
	}
	if got := last.GetContent()[0].GetText().GetText(); got != want || len(strings.Fields(got)) != n {
		t.Errorf("the deltas and the message differ, or are not %d words", n)
	}
}

func TestAnswerSurvivesARestartedGateway(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	runJob(t, config(g, nil))
	g.turns <- turn("u1", "", `{"deltas":400,"delayMillis":1}`)
	for _, at := range []int{50, 150, 300} {
		g.wait("u1/1", func(cs []*tightbeampb.TurnResultChunk) bool { return len(cs) >= at })
		g.restart()
	}
	checkDeltas(t, g.waitTerminal("u1/1"), 400)
	if n := g.opened("u1/1"); n < 4 {
		t.Errorf("the answer came over %d connections, want one more than restarts", n)
	}
	g.turns <- turn("u2", "still here", "")
	if got := text(g.waitTerminal("u2/1")); got != "still here" {
		t.Errorf("the turn after the restarts: %q", got)
	}
}

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

func TestTurnsRunAtOnceUpToTheLimit(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	var now, most atomic.Int32
	release := make(chan struct{})
	cfg := config(g, callFunc(func(_ context.Context, _ *provider.Request, emit provider.Emit) (*provider.Result, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		<-release
		return provider.NewAnswer("test", "m", emit).Finish(provider.StopEndTurn, "end", "")
	}))
	cfg.TurnsPerJob = 3
	runJob(t, cfg)
	for _, uid := range []string{"a", "b", "c", "d", "e"} {
		g.turns <- turn(uid, "", "")
	}
	for now.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	if left := len(g.turns); left != 2 {
		t.Errorf("%d turns wait at the gateway, want 2", left)
	}
	close(release)
	for _, uid := range []string{"a", "b", "c", "d", "e"} {
		g.waitTerminal(uid + "/1")
	}
	if most.Load() != 3 {
		t.Errorf("%d turns ran at once, want 3", most.Load())
	}
}

func TestJobLeavesWithoutWorkAndNotBefore(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	cfg := config(g, nil)
	// A machine that is busy may let it leave before it has got the turn.
	for pace := 60; g.opened("u1/1") == 0; pace *= 2 {
		cfg.IdleTimeout = time.Duration(10*pace/3) * time.Millisecond // a third of what the turn takes
		g.turns <- turn("u1", "", fmt.Sprintf(`{"deltas":10,"delayMillis":%d}`, pace))
		if err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	checkDeltas(t, g.waitTerminal("u1/1"), 10)
}

func TestShutdownLetsTurnsFinish(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	stop := runJob(t, config(g, nil))
	g.turns <- turn("u1", "", `{"deltas":50,"delayMillis":5}`)
	g.wait("u1/1", func(cs []*tightbeampb.TurnResultChunk) bool { return len(cs) > 3 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	checkDeltas(t, g.waitTerminal("u1/1"), 50)
}

func TestShutdownHandsOverWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		visible bool
		want    tightbeampb.ErrorClass
	}{
		"nothing seen yet may be tried again": {false, tightbeampb.ErrorClass_ERROR_CLASS_NETWORK},
		"a part was seen":                     {true, tightbeampb.ErrorClass_ERROR_CLASS_TRUNCATED},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			cfg := config(g, hangs(make(chan error, 1), tc.visible))
			cfg.ShutdownGrace = 20 * time.Millisecond
			stop := runJob(t, cfg)
			g.turns <- turn("u1", "", "")
			g.wait("u1/1", func(cs []*tightbeampb.TurnResultChunk) bool { return len(cs) > 0 })
			if err := stop(); err != nil {
				t.Error(err)
			}
			cs := g.waitTerminal("u1/1")
			if got := cs[len(cs)-1].GetError().GetClass(); got != tc.want {
				t.Errorf("class %v, want %v", got, tc.want)
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

// BenchmarkTurn is a turn of 200 deltas from a provider without delay, from
// GetTurn to the last acknowledgement, eight at once.
func BenchmarkTurn(b *testing.B) {
	g := newGateway(b)
	cfg := config(g, nil)
	cfg.TurnsPerJob = 8
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	n := 0
	for b.Loop() {
		n++
		g.turns <- turn(strconv.Itoa(n), "", `{"deltas":200}`)
	}
	for i := 1; i <= n; i++ {
		g.waitTerminal(strconv.Itoa(i) + "/1")
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "turns/s")
	cancel()
	<-done
}
