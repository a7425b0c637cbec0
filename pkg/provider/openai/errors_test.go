// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
)

// The forms in which servers that speak like OpenAI write their errors into a
// stream, where there is no HTTP status beside them.
func TestFormsOfAnErrorInAStream(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]provider.Error{
		`{"error":{"message":"m","type":"server_error","code":null}}`:                  {Class: provider.Internal, Message: "m"},
		`{"error":{"message":"m","code":502}}`:                                         {Class: provider.Overloaded, Code: 502, Message: "m"},
		`{"error":{"message":"m","type":"throttling_error","code":"429"}}`:             {Class: provider.RateLimited, Code: 429, Message: "m"},
		`{"error":{"message":"m","code":"insufficient_quota"}}`:                        {Class: provider.QuotaExhausted, Message: "m"},
		`{"error":{"message":"m","code":7}}`:                                           {Class: provider.Internal, Message: "m"},
		`{"error":"m"}`:                                                                {Class: provider.Internal, Message: "m"},
		`{"error":["m"]}`:                                                              {Class: provider.Internal, Message: `["m"]`},
		`{"error":{"kind":"m"}}`:                                                       {Class: provider.Internal, Message: `{"kind":"m"}`},
		`{"object":"error","message":"m","type":"BadRequestError","code":400}`:         {Class: provider.InvalidRequest, Code: 400, Message: "m"},
		`{"detail":"m"}`:                                                               {Class: provider.Internal, Message: "m"},
		`[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]`:         {Class: provider.RateLimited, Code: 429, Message: "m"},
		`{"error":{"message":"maximum context length is 8192 tokens","code":"500"}}`:   {Class: provider.ContextTooLong, Code: 500, Message: "maximum context length is 8192 tokens"},
		`{"error":{"code":404,"message":"m","type":"exceed_context_size_error"}}`:      {Class: provider.ContextTooLong, Code: 404, Message: "m"},
		`{"error":{"message":"m","type":"invalid_request_error","code":"image_mode"}}`: {Class: provider.InvalidRequest, Message: "m"},
	} {
		e, ok := parseError([]byte(body))
		if got := e.typed(0, nil); !ok || *got != want {
			t.Errorf("%s: %v, %+v", body, ok, got)
		}
	}
	for _, body := range []string{`{"id":"x","choices":[]}`, `{"error":null,"choices":[]}`, `{"message":"m"}`, `[]`, `[1]`, `7`, `not JSON`} {
		if e, ok := parseError([]byte(body)); ok {
			t.Errorf("%s is taken for an error: %+v", body, e)
		}
	}
	// What is no error of the protocol's is quoted, not lost.
	if e := refused(404, nil, []byte("<html>"+strings.Repeat("x", 1000))); e.Class != provider.InvalidRequest || !strings.Contains(e.Message, "<html>") || len(e.Message) > 700 {
		t.Errorf("%+v", e)
	}
}
