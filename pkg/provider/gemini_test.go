// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// Some models give a finish reason with every chunk: the first must not be
// taken for the end, and a connection that breaks is no end either.
func TestGeminiFinishReasonWithEveryChunkIsNotTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	reply := full()
	reply.Accent = fakeprovider.AccentFinish
	w.fake.Enqueue(reply)
	res := w.must(w.ask("hi"))
	if textOf(res) != "It is grün 🌱." || len(res.ToolCalls) != 2 || res.StopReason != provider.StopToolUse || res.Usage.OutputTokens != 22 {
		t.Errorf("%+v", res)
	}
	reply.Cut = &fakeprovider.Cut{At: 3, How: fakeprovider.Abort}
	w.fake.Enqueue(reply)
	if pe := w.fail(w.ask("hi")); pe.Class != provider.Truncated {
		t.Errorf("cut: %+v", pe)
	}
}

// What breaks behind the end takes nothing away.
func TestGeminiAnswerIsWholeOnceTheLastChunkCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	w.cfg.IdleTimeout = 2 * time.Second
	w.remake()
	for name, spoil := range map[string]func(*fakeprovider.Reply){
		"a broken connection": func(r *fakeprovider.Reply) { r.BreakAfter = true },
		"silence":             func(r *fakeprovider.Reply) { r.StallAfter = true },
	} {
		reply := full()
		spoil(&reply)
		w.fake.Enqueue(reply)
		if got := textOf(w.must(w.ask("hi"))); got != "It is grün 🌱." {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestGeminiErrorsByTheirDetails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	for _, tc := range []struct {
		err  fakeprovider.Error
		want provider.Class
	}{
		{fakeprovider.Error{Status: 429, Type: "RESOURCE_EXHAUSTED", Quota: "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}, provider.RateLimited},
		{fakeprovider.Error{Status: 429, Type: "RESOURCE_EXHAUSTED", Quota: "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}, provider.QuotaExhausted},
		{fakeprovider.Error{Status: 400, Type: "INVALID_ARGUMENT", Reason: "API_KEY_INVALID"}, provider.Auth},
		{fakeprovider.Error{Status: 400, Type: "FAILED_PRECONDITION"}, provider.InvalidRequest},
		{fakeprovider.Error{Status: 499, Type: "CANCELLED"}, provider.Internal},
		{fakeprovider.Error{Status: 409, Type: "ABORTED"}, provider.Internal},
		{fakeprovider.Error{Status: 401, Type: "UNAUTHENTICATED"}, provider.Auth},
	} {
		for _, list := range []bool{false, true} {
			tc.err.Message, tc.err.RetryAfter, tc.err.List = "not now", "13.5", list
			w.fake.Enqueue(fakeprovider.Reply{Error: &tc.err})
			pe := w.fail(w.ask("hi"))
			if pe.Class != tc.want || pe.Code != tc.err.Status || pe.Message != "not now" || pe.RetryAfter != 13500*time.Millisecond {
				t.Errorf("%+v: %+v", tc.err, pe)
			}
		}
	}
}

// An error that is no object is one all the same.
func TestGeminiErrorAsAWordIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	w.fake.Enqueue(fakeprovider.Reply{Raw: &fakeprovider.Raw{Status: 200, ContentType: "text/event-stream", Body: "data: {\"error\":\"no luck\"}\n\n"}})
	if pe := w.fail(w.ask("hi")); pe.Class != provider.Internal || !strings.Contains(pe.Message, "no luck") {
		t.Errorf("%+v", pe)
	}
}

func TestGeminiModelNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	for model, path := range map[string]string{
		"gemini-x":        "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
		"models/gemini-x": "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
	} {
		req := w.ask("hi")
		req.Model = model
		w.must(req)
		if got := w.fake.Last().Path; got != path {
			t.Errorf("%s: %s", model, got)
		}
	}
	before := len(w.fake.Requests())
	for _, model := range []string{"", "x?key=y", "../../v1/files", "a&b"} {
		req := w.ask("hi")
		req.Model = model
		// Not a network error, which would be tried again.
		if pe := w.fail(req); pe.Class != provider.InvalidRequest || !strings.Contains(pe.Message, "model") {
			t.Errorf("%q: %+v", model, pe)
		}
	}
	if n := len(w.fake.Requests()); n != before {
		t.Errorf("%d requests were sent", n-before)
	}
}

// Calls often come without ids: ours are for us alone, and results go back by
// order and name.
func TestGeminiCallsWithoutIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	w.fake.Enqueue(fakeprovider.Reply{Blocks: []fakeprovider.Block{
		{Kind: fakeprovider.Tool, Name: "look", Deltas: []string{`{"n":1}`}, Signature: "sig"},
		{Kind: fakeprovider.Tool, Name: "look", Deltas: []string{`{"n":2}`}},
		{Kind: fakeprovider.Tool, Name: "smell"},
	}})
	req := w.ask("hi")
	res := w.must(req)
	c := res.ToolCalls
	if len(c) != 3 || c[0].ID == "" || c[0].ID == c[1].ID || c[1].ID == c[2].ID || c[1].Input != `{"n":2}` || c[2].Input != "{}" {
		t.Fatalf("%+v", c)
	}
	req.Messages = append(req.Messages, res.Message(), result(c[2].ID, "third"), result(c[1].ID, "second"), result(c[0].ID, "first"))
	w.must(req)
	for i, want := range []string{"first", "second", "third"} {
		part := at(w.body(), "contents.2.parts").([]any)[i]
		if at(part, "functionResponse.response.output") != want || at(part, "functionResponse.id") != nil {
			t.Errorf("response %d: %v", i, part)
		}
	}
	if strings.Contains(string(w.fake.Last().Body), c[0].ID) {
		t.Errorf("an id of ours was sent: %s", w.fake.Last().Body)
	}
}

// The third generation demands a signature on the first of the calls, also on
// those of another model.
func TestGeminiForeignCallsHaveASignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	req := w.ask("hi")
	req.Messages = append(req.Messages,
		provider.Message{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "a", Name: "look"}, {ID: "b", Name: "smell"}}}, result("a", "1"), result("b", "2"))
	for model, want := range map[string]bool{"gemini-3-pro": true, "models/gemini-3-flash": true, "gemini-4": true, "gemini-2.5-pro": false, "gemma-3": false} {
		req.Model = model
		w.must(req)
		if got := at(w.body(), "contents.1.parts.0.thoughtSignature") != nil; got != want {
			t.Errorf("%s: %s", model, w.fake.Last().Body)
		}
		if at(w.body(), "contents.1.parts.1.thoughtSignature") != nil {
			t.Errorf("%s: the second call has one too", model)
		}
	}
}

func TestGeminiSafetySettingsArePassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[3])
	req := w.ask("hi")
	req.Parameters = json.RawMessage(`{"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}`)
	w.must(req)
	if at(w.body(), "safetySettings.0.threshold") != "BLOCK_NONE" {
		t.Errorf("%s", w.fake.Last().Body)
	}
}

// What the SDK's reader would pass over in silence is seen by ours.
func TestGeminiEventAboveTheLimitIsNamed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("sends 33 MiB")
	}
	w := newWorld(t, targets[3])
	w.fake.Enqueue(fakeprovider.Say(strings.Repeat("x", 33<<20)))
	pe := w.fail(w.ask("hi"))
	if pe.Class != provider.Internal || !strings.Contains(pe.Message, "limit") {
		t.Errorf("%s: %.300s", pe.Class, pe.Message)
	}
}
