// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

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

func TestUnreachableProviderIsANetworkError(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.srv.Close()
		if pe := w.fail(w.ask("hi")); pe.Class != provider.Network {
			t.Errorf("%+v", pe)
		}
	})
}
