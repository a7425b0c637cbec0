// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/anthropic"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// service is a real provider package against a fake service, with the Secret
// that a job would have.
func service(t *testing.T, g *gateway) (*fakeprovider.Server, Config, string, *strings.Builder) {
	t.Helper()
	fake := fakeprovider.New()
	fake.Key = canary
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	writeSecret(t, dir, map[string]string{"provider": "anthropic", "model": "claude-x", "api-key": canary + "\n"})
	cfg := config(g, nil)
	cfg.SecretDir = dir
	cfg.NewProvider = func(_ string, pc provider.Config) (provider.Provider, error) { return anthropic.New(pc) }
	log := &strings.Builder{}
	cfg.Log = slog.New(slog.NewJSONHandler(&locked{w: log}, nil))
	return fake, cfg, srv.URL, log
}

type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func assignment(uid, url string) *tightbeampb.TurnAssignment {
	a := turn(uid, "hi", "")
	a.ModelConfig = &tightbeampb.ModelConfig{Provider: "anthropic", Model: "claude-x", MaxTokens: 100, BaseUrl: url}
	return a
}

func TestKeyIsInNoChunkAndNoLog(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	fake, cfg, url, log := service(t, g)
	leak := fakeprovider.Say("x")
	leak.InBand = &fakeprovider.InBand{At: 3, Type: "api_error", Message: "for key " + canary}
	fake.Enqueue(
		fakeprovider.Reply{Error: &fakeprovider.Error{Status: 401, Type: "authentication_error", Message: "invalid x-api-key: " + canary}},
		fakeprovider.Reply{Raw: &fakeprovider.Raw{Status: 502, ContentType: "text/html", Body: "<pre>x-api-key: " + canary + "</pre>"}},
		leak, fakeprovider.Say("fine"))
	stop := runJob(t, cfg)
	for i := range 4 {
		uid := fmt.Sprintf("u%d", i)
		g.turns <- assignment(uid, url)
		for _, c := range g.waitTerminal(uid + "/1") {
			if s := protojson.Format(c); strings.Contains(s, "canary") {
				t.Errorf("the key is in a chunk: %s", s)
			}
		}
	}
	if n := len(fake.Requests()); n != 4 || fake.Last().Refused != "" {
		t.Fatalf("%d requests: the provider was not called with the key", n)
	}
	_ = stop()
	if strings.Contains(log.String(), "canary") || log.Len() == 0 {
		t.Errorf("log: %s", log.String())
	}
}

func TestNativeBlocksTravelWithTheTurn(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	fake, cfg, url, _ := service(t, g)
	fake.Enqueue(fakeprovider.Reply{Blocks: []fakeprovider.Block{
		{Kind: fakeprovider.Thinking, Deltas: []string{"hm"}, Signature: "sig"},
		{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{`{"x":1}`}},
	}}, fakeprovider.Say("done"))
	runJob(t, cfg)
	first := assignment("u1", url)
	g.turns <- first
	cs := g.waitTerminal("u1/1")
	tc := cs[len(cs)-1].GetComplete()
	id := "a"
	second := assignment("u2", url)
	second.Messages = append(second.Messages,
		&tightbeampb.Message{Role: "assistant", Content: tc.GetContent(), ToolCalls: tc.GetToolCalls()},
		&tightbeampb.Message{Role: "tool", ToolCallId: &id, Content: []*tightbeampb.ContentBlock{{Block: &tightbeampb.ContentBlock_Text{Text: &tightbeampb.TextBlock{Text: "seen"}}}}})
	g.turns <- second
	if got := text(g.waitTerminal("u2/1")); got != "done" {
		t.Errorf("%q: %s", got, fake.Last().Refused)
	}
}

// Retry and fallback are decided at the gateway, by what the job reports.
func TestProviderErrorReachesTheGatewayWhole(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	fake, cfg, url, _ := service(t, g)
	fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: 529, Type: "overloaded_error", Message: "Overloaded", RetryAfter: "2"}})
	runJob(t, cfg)
	g.turns <- assignment("u1", url)
	e := g.waitTerminal("u1/1")[0].GetError()
	if e.GetCode() != 529 || e.GetClass() != tightbeampb.ErrorClass_ERROR_CLASS_OVERLOADED || e.GetRetryAfterMillis() != 2000 || e.GetRequestId() != "req_fake" || e.GetMessage() != "Overloaded" {
		t.Errorf("%v", e)
	}
	if n := len(fake.Requests()); n != 1 {
		t.Errorf("%d requests for one attempt", n)
	}
}

// BenchmarkProviderCall is one call of 200 deltas to a provider without delay:
// what the adapter and the SDK cost.
func BenchmarkProviderCall(b *testing.B) {
	fake := fakeprovider.New()
	fake.Forget()
	reply := fakeprovider.Paced(200, 20, 0)
	r, err := anthropic.New(provider.Config{BaseURL: serve(b, fake), Key: provider.NewKey("k")})
	if err != nil {
		b.Fatal(err)
	}
	fake.Default(reply)
	req := &provider.Request{Model: "m", MaxTokens: 1000, Messages: []provider.Message{{Role: provider.RoleUser, Content: []provider.Block{provider.Text("hi")}}}}
	var first time.Duration
	for b.Loop() {
		start, seen := time.Now(), false
		if _, err := r.Call(b.Context(), req, func(ev provider.Event) error {
			if ev.Delta != nil && !seen {
				seen = true
				first += time.Since(start)
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs-to-first-delta")
}

func serve(b *testing.B, fake *fakeprovider.Server) string {
	srv := httptest.NewServer(fake)
	b.Cleanup(srv.Close)
	return srv.URL
}
