// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// elsewhere carries the requests for any address to the fake.
type elsewhere struct {
	base http.RoundTripper
	fake *url.URL
}

func (e elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Host, out.URL = e.fake.Host, e.fake
	return e.base.RoundTrip(out)
}

// chatAt is Chat Completions at that address.
func chatAt(t *testing.T, base string) *world {
	t.Helper()
	w := newWorld(t, targets[2])
	fake, err := url.Parse(w.srv.URL + "/v1/chat/completions")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Base, w.cfg.BaseURL = elsewhere{w.cfg.Base, fake}, base
	w.remake()
	return w
}

// newOwnModels is Chat Completions at OpenAI's own address, with a model that
// reasons.
func newOwnModels(t *testing.T) *world {
	t.Helper()
	w := chatAt(t, "https://api.openai.com/v1")
	w.model = "gpt-5-x"
	return w
}

// OpenAI's models that reason refuse max_tokens, and most other servers know no
// other name.
func TestMaxTokensHasTheNameThatTheServerTakes(t *testing.T) {
	t.Parallel()
	own := newOwnModels(t)
	own.must(own.ask("hi"))
	for base, want := range map[string]string{
		"https://api.openai.com/v1": "max_completion_tokens", "https://eu.api.openai.com/v1": "max_completion_tokens",
		"https://res.openai.azure.com/openai/v1": "max_completion_tokens",
		"https://openrouter.ai/api/v1":           "max_tokens", "https://api.openai.com.elsewhere.test/v1": "max_tokens", "https://notapi.openai.com/v1": "max_tokens",
	} {
		w := chatAt(t, base)
		w.must(w.ask("hi"))
		for _, name := range []string{"max_tokens", "max_completion_tokens"} {
			if got := at(w.body(), name) == 4096.0; got != (name == want) {
				t.Errorf("%s: %s is %v", base, name, at(w.body(), name))
			}
		}
	}
}

// What a newer model refuses is told, with the provider's words, and not tried
// again.
func TestTemperatureThatAModelRefusesIsABadRequest(t *testing.T) {
	t.Parallel()
	w := newOwnModels(t)
	half := 0.5
	req := w.ask("hi")
	req.Temperature = &half
	if pe := w.fail(req); pe.Class != provider.InvalidRequest || !strings.Contains(pe.Message, "temperature") {
		t.Errorf("%+v", pe)
	}
}

// Neither protocol has a mark for a tool's failure: the model reads it.
func TestFailureOfAToolIsInItsText(t *testing.T) {
	t.Parallel()
	img := provider.Block{Kind: provider.KindImage, Image: &provider.Image{MediaType: "image/png", Data: []byte("\x89PNG")}}
	for i, paths := range map[int][]string{
		1: {"input.4.output", "input.5.output", "input.6.output.0.text"}, // behind three calls
		2: {"messages.2.content", "messages.3.content", "messages.4.content"},
	} {
		w := newWorld(t, targets[i])
		req := w.ask("hi")
		req.Messages = append(req.Messages,
			provider.Message{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "a", Name: "look"}, {ID: "b", Name: "look"}, {ID: "c", Name: "look"}}},
			provider.Message{Role: provider.RoleTool, ToolCallID: "a", IsError: true, Content: []provider.Block{provider.Text("no such file")}},
			provider.Message{Role: provider.RoleTool, ToolCallID: "b", Content: []provider.Block{provider.Text("fine")}},
			provider.Message{Role: provider.RoleTool, ToolCallID: "c", IsError: true, Content: []provider.Block{img}})
		w.must(req)
		for n, want := range []string{"Error: no such file", "fine", "Error: "} {
			if got := at(w.body(), paths[n]); got != want {
				t.Errorf("%s, result %d: %v in %s", w.name, n, got, w.fake.Last().Body)
			}
		}
	}
}

// The delay stands in the message where the error is inside the stream.
func TestDelayOfALimitInsideTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[1])
	for _, inBand := range []fakeprovider.InBand{{Failed: true}, {Nested: true}, {}} {
		reply := full()
		inBand.At, inBand.Type, inBand.Message = 2, "rate_limit_exceeded", "Rate limit reached. Please try again in 11.054s."
		reply.InBand = &inBand
		w.fake.Enqueue(reply)
		if pe := w.fail(w.ask("hi")); pe.Class != provider.RateLimited || pe.RetryAfter != 11054*time.Millisecond {
			t.Errorf("%+v: %+v", inBand, pe)
		}
	}
}

// What failed may have been counted.
func TestUsageOfAFailedResponseIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[1])
	reply := fakeprovider.Say("x")
	reply.InBand = &fakeprovider.InBand{At: -1, Type: "server_error", Failed: true, Usage: fakeprovider.Usage{Input: 3, Output: 5, CacheRead: 7, CacheWrite: 11, Thinking: 2}}
	w.fake.Enqueue(reply)
	evs, _, err := w.call(w.ask("hi"))
	var got provider.Usage
	for _, ev := range evs {
		if ev.Usage != nil {
			got = *ev.Usage
		}
	}
	if err == nil || got != (provider.Usage{InputTokens: 3, OutputTokens: 5, CacheReadTokens: 7, CacheWriteTokens: 11, ThinkingTokens: 2}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A model that was not asked for its encrypted reasoning, since nobody knew
// that it reasons, gives calls that name it. The name must not go back alone.
func TestCallsWithoutTheirReasoningGoBackWithoutItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[1])
	reply := full()
	for i := range reply.Blocks {
		reply.Blocks[i].Signature = ""
	}
	w.fake.Enqueue(reply)
	req := w.ask("hi")
	req.Model = "somebodys-model"
	res := w.must(req)
	if at(w.body(), "include") != nil {
		t.Errorf("a model that is not known to reason was asked for it: %s", w.fake.Last().Body)
	}
	req.Messages = append(req.Messages, res.Message(), result("call_a", "1"), result("call_b", "2"))
	w.must(req)
	if body := string(w.fake.Last().Body); strings.Contains(body, `"id":`) || !strings.Contains(body, "call_a") {
		t.Errorf("%s", body)
	}
}

func TestModelsThatReasonAreAskedForTheirReasoning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[1])
	for model, want := range map[string]bool{
		"gpt-5": true, "gpt-5.2-codex": true, "gpt-6": true, "o3": true, "o4-mini": true, "openai/gpt-5-mini": true,
		"gpt-5-chat-latest": false, "gpt-4.1": false, "gpt-4o": false, "chatgpt-4o-latest": false, "omni": false, "gpt-": false, "o": false,
	} {
		req := w.ask("hi")
		req.Model = model
		w.must(req)
		if got := at(w.body(), "include.0") != nil; got != want {
			t.Errorf("%s: %v", model, got)
		}
	}
}

func TestErrorInAListIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[2])
	for _, tc := range []struct {
		status int
		word   string
		want   provider.Class
	}{{429, "RESOURCE_EXHAUSTED", provider.RateLimited}, {503, "UNAVAILABLE", provider.Overloaded}, {400, "INVALID_ARGUMENT", provider.InvalidRequest}} {
		w.fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: tc.status, Type: tc.word, Message: "not now", List: true}})
		if pe := w.fail(w.ask("hi")); pe.Class != tc.want || pe.Message != "not now" || pe.Code != tc.status {
			t.Errorf("%+v", pe)
		}
	}
}
