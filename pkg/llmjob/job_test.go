// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
