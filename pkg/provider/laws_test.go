// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

func TestAnswerWithEveryKindOfBlock(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.fake.Enqueue(full())
		evs, res, err := w.call(w.ask("hi"))
		if err != nil {
			t.Fatal(err)
		}
		if len(evs) < 12 {
			t.Errorf("%d events: was it streamed?", len(evs))
		}
		if textOf(res) != "It is grün 🌱." || res.StopReason != provider.StopToolUse {
			t.Errorf("text %q, stop %s (%s)", textOf(res), res.StopReason, res.RawStopReason)
		}
		want := []provider.ToolCall{{ID: "call_a", Name: "look", Input: `{"at":"x"}`}, {ID: "call_b", Name: "smell", Input: `{"id":123456789012345678}`}}
		if d := cmp.Diff(want, res.ToolCalls); d != "" {
			t.Errorf("tool calls (-want +got)\n%s", d)
		}
		if res.Usage != (provider.Usage{InputTokens: 11, OutputTokens: 22, CacheReadTokens: 33, ThinkingTokens: 5}) {
			t.Errorf("usage %+v", res.Usage)
		}
		if res.Content[0].Kind != provider.KindThinking || res.Content[0].Text != "let me think <&>" {
			t.Errorf("first block %+v", res.Content[0])
		}
		if res.RequestID != "req_fake" {
			t.Errorf("request id %q", res.RequestID)
		}
	})
}

// Anthropic counts the prompt without its cached part, the others with it.
func TestUsageIsCountedAlike(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := fakeprovider.Say("x")
		reply.Usage = fakeprovider.Usage{Input: 3, Output: 5, CacheRead: 7, CacheWrite: 11, Thinking: 2}
		want := provider.Usage{InputTokens: 3, OutputTokens: 5, CacheReadTokens: 7, CacheWriteTokens: 11, ThinkingTokens: 2}
		if w.name == fakeprovider.Gemini {
			want.CacheWriteTokens = 0 // it has no number for these
		}
		w.fake.Enqueue(reply)
		evs, res, err := w.call(w.ask("hi"))
		if err != nil || res.Usage != want {
			t.Fatalf("%+v, %v", res, err)
		}
		var last provider.Usage
		for _, ev := range evs {
			if ev.Usage != nil {
				last = *ev.Usage
			}
		}
		if last != want {
			t.Errorf("the last event says %+v", last)
		}
	})
}

// Section 9.1: all the official SDKs call a stream that is cut off a success.
func TestAnswerWithoutItsEndIsTruncated(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.fake.Enqueue(full())
		whole := w.must(w.ask("hi"))
		for _, how := range []fakeprovider.How{fakeprovider.Clean, fakeprovider.Abort, fakeprovider.Reset} {
			cut, ended := 0, false
			for ; !ended; cut++ {
				reply := full()
				reply.Cut = &fakeprovider.Cut{At: cut, How: how}
				w.fake.Enqueue(reply)
				_, res, err := w.call(w.ask("hi"))
				if err == nil {
					ended = true
					if textOf(res) != textOf(whole) || len(res.ToolCalls) != len(whole.ToolCalls) {
						t.Errorf("cut before frame %d: a part was taken for the whole", cut)
					}
					continue
				}
				var pe *provider.Error
				if !errors.As(err, &pe) || pe.Class != provider.Truncated || pe.RequestID != "req_fake" {
					t.Errorf("cut before frame %d, how %d: %v", cut, how, err)
				}
				if cut > 100 {
					t.Fatal("there is no end")
				}
			}
			if cut < 8 {
				t.Errorf("only %d cuts: the test proves little", cut)
			}
		}
	})
}

// Section 9.2.
func TestErrorInTheStreamHasItsClass(t *testing.T) {
	t.Parallel()
	cases := map[fakeprovider.Protocol]map[fakeprovider.InBand]provider.Error{
		fakeprovider.Anthropic: {
			{Type: "overloaded_error"}:      {Class: provider.Overloaded, Code: 529},
			{Type: "api_error"}:             {Class: provider.Internal, Code: 500},
			{Type: "invalid_request_error"}: {Class: provider.InvalidRequest, Code: 400},
			{Type: "conflict_error"}:        {Class: provider.Internal, Code: 409},
			{Type: "rate_limit_error"}:      {Class: provider.RateLimited, Code: 429},
			{Type: "timeout_error"}:         {Class: provider.Timeout, Code: 504},
			{Type: "some_error_of_the_day"}: {Class: provider.Internal},
		},
		fakeprovider.Responses: {
			{Type: "server_error"}:                          {Class: provider.Internal},
			{Type: "rate_limit_exceeded"}:                   {Class: provider.RateLimited},
			{Type: "server_error", Failed: true}:            {Class: provider.Internal},
			{Type: "insufficient_quota", Failed: true}:      {Class: provider.QuotaExhausted},
			{Type: "rate_limit_exceeded", Failed: true}:     {Class: provider.RateLimited},
			{Type: "context_length_exceeded", Failed: true}: {Class: provider.ContextTooLong},
			{Type: "invalid_prompt", Failed: true}:          {Class: provider.InvalidRequest},
			{Type: "image_parse_error", Failed: true}:       {Class: provider.InvalidRequest},
			{Type: "rate_limit_exceeded", Nested: true}:     {Class: provider.RateLimited},
			{Type: "context_length_exceeded", Nested: true}: {Class: provider.ContextTooLong},
			{Type: "server_error", Nested: true}:            {Class: provider.Internal},
		},
		fakeprovider.Chat: {
			{Type: "server_error"}:               {Class: provider.Internal},
			{Type: "upstream", Code: 502}:        {Class: provider.Overloaded, Code: 502},
			{Type: "upstream", Code: 429}:        {Class: provider.RateLimited, Code: 429},
			{Type: "insufficient_quota"}:         {Class: provider.QuotaExhausted},
			{Type: "BadRequestError"}:            {Class: provider.Internal},
			{Type: "BadRequest", Code: 400}:      {Class: provider.InvalidRequest, Code: 400},
			{Type: "service_unavailable"}:        {Class: provider.Overloaded},
			{Type: "invalid_request_error"}:      {Class: provider.InvalidRequest},
			{Type: "context_length_exceeded"}:    {Class: provider.ContextTooLong},
			{Type: "authentication_error"}:       {Class: provider.Auth},
			{Type: "vector_store_timeout"}:       {Class: provider.Timeout},
			{Type: "billing_hard_limit_reached"}: {Class: provider.QuotaExhausted},
		},
		fakeprovider.Gemini: {
			{Type: "UNAVAILABLE", Code: 503}:        {Class: provider.Overloaded, Code: 503},
			{Type: "RESOURCE_EXHAUSTED", Code: 429}: {Class: provider.RateLimited, Code: 429},
			{Type: "INTERNAL", Code: 500}:           {Class: provider.Internal, Code: 500},
			{Type: "DEADLINE_EXCEEDED", Code: 504}:  {Class: provider.Timeout, Code: 504},
		},
	}
	forEach(t, func(t *testing.T, w *world) {
		for inBand, want := range cases[w.name] {
			for _, frame := range []int{0, 2, -1} {
				reply := full()
				inBand.At, inBand.Message = frame, "no luck today"
				reply.InBand = &inBand
				if w.name == fakeprovider.Chat && frame == -1 {
					inBand.At = 3 // what follows the finish reason is not the answer
				}
				w.fake.Enqueue(reply)
				pe := w.fail(w.ask("hi"))
				if pe.Class != want.Class || pe.Code != want.Code || !strings.Contains(pe.Message, "no luck today") || pe.RequestID != "req_fake" {
					t.Errorf("%+v: %+v", inBand, pe)
				}
			}
		}
	})
}

// Section 9.3: whoever counts attempts must see each.
func TestACallIsOneAttempt(t *testing.T) {
	t.Parallel()
	type row struct {
		status int
		kind   string
		want   provider.Class
	}
	rows := map[fakeprovider.Protocol][]row{
		fakeprovider.Anthropic: {{400, "invalid_request_error", provider.InvalidRequest}, {401, "authentication_error", provider.Auth},
			{402, "billing_error", provider.QuotaExhausted}, {403, "permission_error", provider.Auth}, {404, "not_found_error", provider.InvalidRequest},
			{413, "request_too_large", provider.ContextTooLong}, {429, "rate_limit_error", provider.RateLimited}, {500, "api_error", provider.Internal},
			{504, "timeout_error", provider.Timeout}, {409, "conflict_error", provider.Internal}, {529, "overloaded_error", provider.Overloaded}, {503, "", provider.Overloaded}, {413, "", provider.ContextTooLong}},
		fakeprovider.Gemini: {{400, "INVALID_ARGUMENT", provider.InvalidRequest}, {403, "PERMISSION_DENIED", provider.Auth}, {404, "NOT_FOUND", provider.InvalidRequest},
			{429, "RESOURCE_EXHAUSTED", provider.RateLimited}, {500, "INTERNAL", provider.Internal}, {503, "UNAVAILABLE", provider.Overloaded}, {504, "DEADLINE_EXCEEDED", provider.Timeout}, {413, "", provider.ContextTooLong}},
	}
	openAI := []row{{400, "invalid_request_error", provider.InvalidRequest}, {401, "invalid_api_key", provider.Auth}, {400, "context_length_exceeded", provider.ContextTooLong},
		{429, "rate_limit_exceeded", provider.RateLimited}, {429, "insufficient_quota", provider.QuotaExhausted}, {500, "server_error", provider.Internal}, {503, "slow_down", provider.Overloaded},
		{503, "server_error", provider.Overloaded}, {409, "conflict", provider.Internal}, {402, "", provider.QuotaExhausted}, {408, "", provider.Timeout},
		{413, "", provider.ContextTooLong},
		{422, "", provider.InvalidRequest}, {400, "exceed_context_size_error", provider.ContextTooLong}, {429, "exceeded_current_quota_error", provider.QuotaExhausted}}
	rows[fakeprovider.Responses], rows[fakeprovider.Chat] = openAI, openAI
	forEach(t, func(t *testing.T, w *world) {
		for i, r := range rows[w.name] {
			w.fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: r.status, Type: r.kind, Message: "not now", RetryAfter: "7"}})
			pe := w.fail(w.ask("hi"))
			if pe.Class != r.want || pe.Code != r.status || pe.Message != "not now" || pe.RetryAfter != 7*time.Second || pe.RequestID != "req_fake" {
				t.Errorf("%d %s: %+v", r.status, r.kind, pe)
			}
			if n := len(w.fake.Requests()); n != i+1 {
				t.Fatalf("%d requests after %d calls", n, i+1)
			}
		}
	})
}

func TestTooLongAPromptIsToldByItsMessage(t *testing.T) {
	t.Parallel()
	messages := map[fakeprovider.Protocol]string{
		fakeprovider.Anthropic: "prompt is too long: 210000 tokens > 200000 maximum",
		fakeprovider.Responses: "Your input exceeds the context window of this model.",
		fakeprovider.Chat:      "This model's maximum context length is 8192 tokens.",
		fakeprovider.Gemini:    "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
	}
	forEach(t, func(t *testing.T, w *world) {
		w.fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: 400, Type: "invalid_request_error", Message: messages[w.name]}})
		if pe := w.fail(w.ask("hi")); pe.Class != provider.ContextTooLong {
			t.Errorf("%+v", pe)
		}
	})
}

func TestRetryAfterMayBeADateOrMilliseconds(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		if w.name == fakeprovider.Gemini {
			return // has RetryInfo, see TestGeminiErrorsByTheirDetails
		}
		refusal := &fakeprovider.Error{Status: 429, Type: "rate_limit_error", Message: "slow", RetryAfter: time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}
		w.fake.Enqueue(
			fakeprovider.Reply{Error: refusal},
			fakeprovider.Reply{Error: refusal, Header: header("Retry-After-Ms", "1500")},
			fakeprovider.Reply{Error: &fakeprovider.Error{Status: 429, Type: "rate_limit_error", Message: "slow"},
				Header: header("X-Ratelimit-Reset-Tokens", "6m0s", "Anthropic-Ratelimit-Tokens-Reset", "2099-01-01T00:00:00Z")})
		if d := w.fail(w.ask("hi")).RetryAfter; d < 50*time.Minute || d > time.Hour {
			t.Errorf("date: %s", d)
		}
		if d := w.fail(w.ask("hi")).RetryAfter; d != 1500*time.Millisecond {
			t.Errorf("milliseconds: %s", d)
		}
		// When a bucket is full again is not when to come again.
		if d := w.fail(w.ask("hi")).RetryAfter; d != 0 {
			t.Errorf("headers of rates: %s", d)
		}
	})
}

func TestAnswerFromOutsideTheProtocolIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		raw  fakeprovider.Raw
		want provider.Class
		code int
		says string
	}{
		"a proxy's page with 502": {fakeprovider.Raw{Status: 502, ContentType: "text/html", Body: "<html>bad gateway</html>"}, provider.Overloaded, 502, "bad gateway"},
		"an empty 500":            {fakeprovider.Raw{Status: 500}, provider.Internal, 500, ""},
		"a login page with 200":   {fakeprovider.Raw{Status: 200, ContentType: "text/html", Body: "<html>log in</html>"}, provider.Internal, 200, "text/html"},
		"a redirect":              {fakeprovider.Raw{Status: 307, Header: header("Location", "https://elsewhere.test/")}, provider.InvalidRequest, 307, "elsewhere.test"},
		"compressed unasked":      {fakeprovider.Raw{Status: 200, ContentType: "text/event-stream", Header: header("Content-Encoding", "gzip"), Body: "\x1f\x8b"}, provider.Internal, 200, "gzip"},
		"an error with 200":       {fakeprovider.Raw{Status: 200, ContentType: "application/json", Body: `{"error":{"message":"no luck"}}`}, provider.Internal, 0, "no luck"},
		"an empty stream":         {fakeprovider.Raw{Status: 200, ContentType: "text/event-stream"}, provider.Truncated, 0, ""},
		"something else's JSON":   {fakeprovider.Raw{Status: 200, ContentType: "text/event-stream", Body: "event: message_start\ndata: {\"type\":\n\n"}, provider.Internal, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, w *world) {
				w.fake.Enqueue(fakeprovider.Reply{Raw: &tc.raw})
				pe := w.fail(w.ask("hi"))
				if pe.Class != tc.want || pe.Code != tc.code || !strings.Contains(pe.Message, tc.says) {
					t.Errorf("%+v", pe)
				}
			})
		})
	}
}

// Section 9.7.
func TestBytesMayBeSplitAnywhere(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.fake.Enqueue(full())
		want := w.must(w.ask("hi"))
		for _, shape := range []fakeprovider.Reply{
			{Split: 1}, {Split: 1, CRLF: true}, {Split: 7}, {CRLF: true}, {UnknownEvents: true}, {KeepAlive: 3},
		} {
			reply := full()
			reply.Split, reply.CRLF, reply.UnknownEvents, reply.KeepAlive = shape.Split, shape.CRLF, shape.UnknownEvents, shape.KeepAlive
			w.fake.Enqueue(reply)
			got := w.must(w.ask("hi"))
			if textOf(got) != textOf(want) || !cmp.Equal(got.ToolCalls, want.ToolCalls) || got.Usage != want.Usage {
				t.Errorf("split %d, CRLF %v, unknown %v: %+v", shape.Split, shape.CRLF, shape.UnknownEvents, got)
			}
		}
	})
}

func TestALineMayBeMegabytesLong(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		big := strings.Repeat("ä<\n\"", 1<<18)
		w.fake.Enqueue(fakeprovider.Say("a", big, "z"))
		if got := textOf(w.must(w.ask("hi"))); got != "a"+big+"z" {
			t.Errorf("%d bytes, want %d", len(got), len(big)+2)
		}
	})
}

func TestOpenBlocksMayTakeTurns(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := fakeprovider.Reply{Interleave: true, Blocks: []fakeprovider.Block{
			{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{`{"n"`, `:1`, `}`}},
			{Kind: fakeprovider.Tool, ID: "b", Name: "look", Deltas: []string{`{"n"`, `:2`, `}`}},
		}}
		w.fake.Enqueue(reply)
		res := w.must(w.ask("hi"))
		if len(res.ToolCalls) != 2 || res.ToolCalls[0].Input != `{"n":1}` || res.ToolCalls[1].Input != `{"n":2}` {
			t.Errorf("%+v", res.ToolCalls)
		}
	})
}

func TestDeltaIsEmittedAsItArrives(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		gate := make(chan struct{}, 1)
		reply := fakeprovider.Say("one", "two", "three")
		reply.Gate = gate
		w.fake.Enqueue(reply)
		gate <- struct{}{}
		deltas := 0
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := w.p.Call(ctx, w.ask("hi"), func(ev provider.Event) error {
			if ev.Delta != nil {
				// The next one is let go only now.
				deltas++
				gate <- struct{}{}
			}
			return nil
		})
		if err != nil || deltas != 3 {
			t.Errorf("%d deltas, %v", deltas, err)
		}
	})
}

func TestStopReasons(t *testing.T) {
	t.Parallel()
	type row struct {
		stop fakeprovider.Stop
		raw  string
		want provider.StopReason
	}
	rows := map[fakeprovider.Protocol][]row{
		fakeprovider.Anthropic: {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.StopSequence, "", provider.StopSequence},
			{fakeprovider.Refused, "", provider.StopRefusal}, {fakeprovider.Context, "", provider.StopContextExceeded}, {fakeprovider.Pause, "", provider.StopPaused}, {"", "moon_phase", provider.StopOther}},
		fakeprovider.Responses: {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.ContentFilter, "", provider.StopContentFilter}, {"", "steered", provider.StopOther}},
		fakeprovider.Chat:      {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.ContentFilter, "", provider.StopContentFilter}, {"", "abort", provider.StopOther}},
		fakeprovider.Gemini: {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.Refused, "", provider.StopRefusal}, {fakeprovider.ContentFilter, "", provider.StopContentFilter},
			{"", "MALFORMED_FUNCTION_CALL", provider.StopOther}, {"", "FROM_THE_FUTURE", provider.StopOther}},
	}
	forEach(t, func(t *testing.T, w *world) {
		for _, r := range rows[w.name] {
			reply := fakeprovider.Say("x")
			reply.Stop, reply.RawStop = r.stop, r.raw
			w.fake.Enqueue(reply)
			res := w.must(w.ask("hi"))
			if res.StopReason != r.want || res.RawStopReason == "" || (r.raw != "" && res.RawStopReason != r.raw) {
				t.Errorf("%s%s: %s (%s)", r.stop, r.raw, res.StopReason, res.RawStopReason)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.Refusal, Deltas: []string{"I ", "won't."}}}}
		switch w.name {
		case fakeprovider.Anthropic:
			reply.Stop = fakeprovider.Refused
		case fakeprovider.Gemini:
			reply = fakeprovider.Reply{Stop: fakeprovider.Blocked}
		}
		w.fake.Enqueue(reply)
		res := w.must(w.ask("hi"))
		if res.StopReason != provider.StopRefusal || (w.name != fakeprovider.Gemini && textOf(res) != "I won't.") {
			t.Errorf("%s (%s), %q", res.StopReason, res.RawStopReason, textOf(res))
		}
	})
}

func TestSilentProviderIsGivenUp(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.cfg.IdleTimeout = 50 * time.Millisecond
		w.remake()
		for _, frame := range []int{0, 2} {
			reply := full()
			reply.Stall = fakeprovider.At(frame)
			w.fake.Enqueue(reply)
			if pe := w.fail(w.ask("hi")); pe.Class != provider.Timeout || !strings.Contains(pe.Message, "silent for 50ms") {
				t.Errorf("stalled before frame %d: %+v", frame, pe)
			}
		}
	})
}

// What keeps an answer back on our side is no silence of the provider's.
func TestSlowReaderIsNoSilence(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.withinIdle(func(idle time.Duration) error {
			w.fake.Enqueue(fakeprovider.Say("one", "two"))
			slept := false
			_, err := w.p.Call(t.Context(), w.ask("hi"), func(ev provider.Event) error {
				if ev.Delta != nil && !slept {
					slept = true
					time.Sleep(idle * 3 / 2) // what is under test is time
				}
				return nil
			})
			return err
		})
	})
}

// withinIdle tries with ever longer idle timeouts what a busy machine may hold up
// for that long: where a law is broken, no timeout is long enough.
func (w *world) withinIdle(try func(idle time.Duration) error) {
	w.t.Helper()
	for idle := time.Second; ; idle *= 2 {
		w.cfg.IdleTimeout = idle
		w.remake()
		err := try(idle)
		var pe *provider.Error
		if err == nil {
			return
		}
		if !errors.As(err, &pe) || pe.Class != provider.Timeout || idle >= 8*time.Second {
			w.t.Fatalf("with an idle timeout of %s: %v", idle, err)
		}
	}
}

func TestKeepAlivesAreSignsOfLife(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		if w.name == fakeprovider.Gemini {
			return // has none
		}
		w.withinIdle(func(idle time.Duration) error {
			reply := fakeprovider.Say("late")
			reply.KeepAlive, reply.Pace = 12, idle*12/100
			w.fake.Enqueue(reply)
			_, res, err := w.call(w.ask("hi"))
			if err == nil && textOf(res) != "late" {
				t.Errorf("%q", textOf(res))
			}
			return err
		})
	})
}

func TestEndedContextEndsTheCall(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := full()
		reply.Stall = fakeprovider.At(-4)
		w.fake.Enqueue(reply, reply)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := w.p.Call(ctx, w.ask("hi"), func(provider.Event) error { return nil })
		var pe *provider.Error
		if !errors.As(err, &pe) || pe.Class != provider.Timeout || !strings.Contains(pe.Message, "deadline") {
			t.Errorf("deadline: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		_, err = w.p.Call(ctx, w.ask("hi"), func(provider.Event) error { cancel(); return nil })
		if !errors.As(err, &pe) || pe.Class != provider.Timeout || !strings.Contains(pe.Message, "cancelled") {
			t.Errorf("cancel: %v", err)
		}
	})
}

func TestErrorOfTheReaderIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		mine := errors.New("enough")
		_, err := w.p.Call(t.Context(), w.ask("hi"), func(provider.Event) error { return mine })
		if !errors.Is(err, mine) {
			t.Errorf("%v", err)
		}
	})
}

func TestUnreachableProviderIsANetworkError(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.srv.Close()
		if pe := w.fail(w.ask("hi")); pe.Class != provider.Network {
			t.Errorf("%+v", pe)
		}
	})
}

func TestKeyIsInNoError(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		inBand := full()
		inBand.InBand = &fakeprovider.InBand{At: 1, Type: "api_error", Code: 500, Message: "your key is " + canary[:20] + "…"}
		w.fake.Enqueue(
			fakeprovider.Reply{Error: &fakeprovider.Error{Status: 401, Type: "authentication_error", Message: "bad key " + canary + "!"}},
			fakeprovider.Reply{Raw: &fakeprovider.Raw{Status: 500, Body: "debug: Authorization: Bearer " + canary}},
			inBand)
		for range 3 {
			pe := w.fail(w.ask("hi"))
			if s := fmt.Sprintf("%+v %#v %v", pe, *pe, pe); strings.Contains(s, canary[:provider.MinPiece]) || !strings.Contains(s, "[redacted]") {
				t.Errorf("%s", s)
			}
		}
	})
}

// A provider, or whoever speaks for it, must not be able to send the key on.
func TestKeyGoesToTheProvidersHostAlone(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		var reached atomic.Int32
		thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
		defer thief.Close()
		for _, status := range []int{301, 302, 307, 308} {
			w.fake.Enqueue(fakeprovider.Reply{Raw: &fakeprovider.Raw{Status: status, Header: header("Location", thief.URL+"/v1/messages")}})
			if pe := w.fail(w.ask("hi")); pe.Class != provider.InvalidRequest {
				t.Errorf("%d: %+v", status, pe)
			}
		}
		if reached.Load() > 0 {
			t.Error("the redirect was followed")
		}
	})
}

func TestBaseURLIsChecked(t *testing.T) {
	t.Parallel()
	for _, tg := range targets {
		for _, base := range []string{"ftp://x", "x.test", "https://user:pass@x.test", "://"} {
			if _, err := tg.create(provider.Config{BaseURL: base, Key: provider.NewKey("k")}); err == nil {
				t.Errorf("%s: %q is taken", tg.name, base)
			}
		}
	}
}

// Not parallel: it changes the environment.
func TestEnvironmentChangesNothing(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the environment's address was called") }))
	defer thief.Close()
	for _, name := range []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_ORG_ID", "GOOGLE_CLOUD_PROJECT"} {
		t.Setenv(name, "from-the-environment")
	}
	for _, name := range []string{"ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"} {
		t.Setenv(name, thief.URL)
	}
	t.Setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
	t.Setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
	for _, tg := range targets {
		w := newWorld(t, tg)
		w.must(w.ask("hi"))
		for k, v := range w.fake.Last().Header {
			if strings.Contains(fmt.Sprint(v), "from-the-environment") {
				t.Errorf("%s: header %s is from the environment", tg.name, k)
			}
		}
	}
}
