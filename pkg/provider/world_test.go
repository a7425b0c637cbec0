// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/anthropic"
	"safebeam.dev/safebeam/pkg/provider/gemini"
	"safebeam.dev/safebeam/pkg/provider/openai"
	"safebeam.dev/safebeam/test/fakeprovider"
)

const canary = "sk-canary-0123456789abcdef0123456789"

// target is one protocol, as a test of a law that all of them keep sees it.
type target struct {
	name   fakeprovider.Protocol
	path   string // of the base URL
	model  string
	create func(provider.Config) (provider.Provider, error)
}

var targets = []target{
	{fakeprovider.Anthropic, "", "claude-x", anthropic.New},
	{fakeprovider.Responses, "/v1", "gpt-5-x", wire(provider.WireResponses)},
	{fakeprovider.Chat, "/v1", "local-x", wire(provider.WireChat)},
	{fakeprovider.Gemini, "", "gemini-x", gemini.New},
}

func wire(format string) func(provider.Config) (provider.Provider, error) {
	return func(cfg provider.Config) (provider.Provider, error) {
		cfg.WireFormat = format
		return openai.New(cfg)
	}
}

// forEach runs a test for every protocol, each against its own server.
func forEach(t *testing.T, test func(t *testing.T, w *world)) {
	for _, tg := range targets {
		t.Run(string(tg.name), func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, tg))
		})
	}
}

// world is a provider and the fake that it calls, over TLS.
type world struct {
	target
	t    *testing.T
	fake *fakeprovider.Server
	srv  *httptest.Server
	cfg  provider.Config
	p    provider.Provider
}

func newWorld(t *testing.T, tg target) *world {
	t.Helper()
	w := &world{target: tg, t: t, fake: fakeprovider.New()}
	w.fake.Key = canary
	w.serve(w.fake, false)
	return w
}

// serve puts the fake, or what stands before it, behind a server of its own.
func (w *world) serve(h http.Handler, http2 bool) {
	w.t.Helper()
	w.srv = httptest.NewUnstartedServer(h)
	w.srv.EnableHTTP2 = http2
	w.srv.StartTLS()
	w.t.Cleanup(w.srv.Close)
	tr := provider.DefaultTransport()
	tr.TLSClientConfig = &tls.Config{RootCAs: w.srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	w.t.Cleanup(tr.CloseIdleConnections)
	w.cfg = provider.Config{BaseURL: w.srv.URL + w.path, Key: provider.NewKey(canary), Base: tr, IdleTimeout: 30 * time.Second}
	w.remake()
}

func (w *world) remake() {
	w.t.Helper()
	var err error
	if w.p, err = w.create(w.cfg); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ask(text string) *provider.Request {
	return &provider.Request{Model: w.model, MaxTokens: 4096, Messages: []provider.Message{user(text)}}
}

func user(text string) provider.Message {
	return provider.Message{Role: provider.RoleUser, Content: []provider.Block{provider.Text(text)}}
}

func result(id, text string) provider.Message {
	return provider.Message{Role: provider.RoleTool, ToolCallID: id, Content: []provider.Block{provider.Text(text)}}
}

// call makes one attempt and holds its events to the laws of events.
func (w *world) call(req *provider.Request) ([]provider.Event, *provider.Result, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var evs []provider.Event
	res, err := w.p.Call(ctx, req, func(ev provider.Event) error {
		evs = append(evs, ev)
		return nil
	})
	if (res == nil) == (err == nil) {
		w.t.Fatalf("result %v and error %v", res, err)
	}
	checkEvents(w.t, evs, res)
	return evs, res, err
}

func checkEvents(t *testing.T, evs []provider.Event, res *provider.Result) {
	t.Helper()
	open := map[int]provider.BlockKind{}
	text := map[int]string{}
	next := 0
	for _, ev := range evs {
		switch {
		case ev.Start != nil:
			if ev.Start.Index != next {
				t.Errorf("block %d starts where %d is due", ev.Start.Index, next)
			}
			open[next] = ev.Start.Kind
			next++
		case ev.Delta != nil:
			if open[ev.Delta.Index] != ev.Delta.Kind || ev.Delta.Text == "" {
				t.Errorf("delta %+v of a block that is %q", ev.Delta, open[ev.Delta.Index])
			}
			text[ev.Delta.Index] += ev.Delta.Text
		case ev.Stop != nil:
			if open[ev.Stop.Index] == "" {
				t.Errorf("block %d stops and is not open", ev.Stop.Index)
			}
			delete(open, ev.Stop.Index)
		}
	}
	if res == nil {
		return
	}
	if len(open) > 0 {
		t.Errorf("blocks still open at the end: %v", open)
	}
	var streamed, whole string
	for i := range next {
		streamed += text[i]
	}
	for _, b := range res.Content {
		if b.Kind != provider.KindNative {
			whole += b.Text
		}
	}
	for _, c := range res.ToolCalls {
		if c.ID == "" || !json.Valid([]byte(c.Input)) {
			t.Errorf("tool call %+v", c)
		}
		if c.Input != "{}" {
			whole += c.Input
		}
	}
	if sorted(streamed) != sorted(whole) {
		t.Errorf("streamed %.200q, the message is %.200q", streamed, whole)
	}
}

// sorted ignores order and the empty object that stands for no input.
func sorted(s string) [256]int {
	var n [256]int
	for i := range len(s) {
		if s[i] != '{' && s[i] != '}' {
			n[s[i]]++
		}
	}
	return n
}

func (w *world) must(req *provider.Request) *provider.Result {
	w.t.Helper()
	_, res, err := w.call(req)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return res
}

func (w *world) fail(req *provider.Request) *provider.Error {
	w.t.Helper()
	_, _, err := w.call(req)
	var pe *provider.Error
	if !errors.As(err, &pe) {
		w.t.Fatalf("error %v, want a *provider.Error", err)
	}
	return pe
}

func textOf(res *provider.Result) string { return provider.PlainText(res.Content) }

// body is the last request's, decoded.
func (w *world) body() map[string]any {
	w.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.fake.Last().Body, &m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// at walks a decoded body: "messages.0.role".
func at(v any, path string) any {
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			i := 0
			for _, c := range step {
				i = i*10 + int(c-'0')
			}
			if i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// full is an answer with every kind of block.
func full() fakeprovider.Reply {
	return fakeprovider.Reply{
		Blocks: []fakeprovider.Block{
			{Kind: fakeprovider.Thinking, Deltas: []string{"let me ", "think <&>"}, Signature: "sig-1"},
			{Kind: fakeprovider.Text, Deltas: []string{"It is ", "grün 🌱."}},
			{Kind: fakeprovider.Tool, ID: "call_a", Name: "look", Deltas: []string{`{"at":`, `"x"}`}, Signature: "sig-2"},
			{Kind: fakeprovider.Tool, ID: "call_b", Name: "smell", Deltas: []string{`{"id":`, `123456789012345678}`}},
		},
		Usage: fakeprovider.Usage{Input: 11, Output: 22, CacheRead: 33, Thinking: 5},
	}
}

func tools() []provider.Tool {
	return []provider.Tool{{Name: "look", Description: "looks", Schema: json.RawMessage(`{"type":"object","properties":{"at":{"type":"string"}}}`)}, {Name: "smell"}}
}

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h
}
