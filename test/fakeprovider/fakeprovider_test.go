// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func post(t *testing.T, s *Server, path, body string) (int, string, error) {
	t.Helper()
	srv := httptest.NewServer(s)
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if path == messages {
		req.Header.Set("Anthropic-Version", "2023-06-01")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

const (
	messages = "/v1/messages"
	items    = "/v1/responses"
	chats    = "/v1/chat/completions"
	contents = "/v1beta/models/m:streamGenerateContent?alt=sse"
)

var good = map[string]string{
	messages: `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
	items:    `{"model":"m","stream":true,"store":false,"input":[{"role":"user","content":"hi"}]}`,
	chats:    `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`,
	contents: `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`,
}

// The last line of a stream in each protocol, as the services' documentation
// has it.
func TestStreamsHaveTheServicesShape(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		messages: {"event: message_start\ndata: {", "event: content_block_start\n", `"delta":{"text":"ok","type":"text_delta"}`, "event: content_block_stop\n", "event: message_delta\n", `"stop_reason":"end_turn"`, "event: message_stop\n"},
		items:    {"event: response.created\n", "event: response.output_item.added\n", "event: response.content_part.added\n", "event: response.output_text.delta\n", "event: response.output_text.done\n", "event: response.output_item.done\n", "event: response.completed\n"},
		chats:    {`"delta":{"content":"","role":"assistant"}`, `"delta":{"content":"ok"}`, `"finish_reason":"stop"`, `"choices":[]`, `"usage":`, "data: [DONE]\n\n"},
		contents: {"\"parts\":[{\"text\":\"ok\"}]", "\"finishReason\":\"STOP\"", "\r\n\r\n"},
	} {
		status, body, err := post(t, New(), path, good[path])
		if status != 200 || err != nil {
			t.Fatalf("%s: %d %v %s", path, status, err, body)
		}
		rest := body
		for _, w := range want {
			i := strings.Index(rest, w)
			if i < 0 {
				t.Errorf("%s: %q is missing, or out of order, in\n%s", path, w, body)
				break
			}
			rest = rest[i+len(w):]
		}
	}
}

func TestWhatTheServicesRefuseIsRefused(t *testing.T) {
	t.Parallel()
	anthropicMessages := func(ms string) string {
		return `{"model":"m","max_tokens":9,"stream":true,"messages":[` + ms + `]}`
	}
	use := `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"look","input":{}},{"type":"tool_use","id":"b","name":"look","input":{}}]}`
	for name, tc := range map[string]struct{ path, body, says string }{
		"no model":                    {messages, `{"max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"no max_tokens":               {messages, `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens"},
		"an unknown field":            {messages, `{"model":"m","max_tokens":9,"stream":true,"n":1,"messages":[{"role":"user","content":"hi"}]}`, "n: Extra"},
		"an unknown role":             {messages, anthropicMessages(`{"role":"user","content":"hi"},{"role":"tool","content":"x"}`), "role"},
		"an assistant first":          {messages, anthropicMessages(`{"role":"assistant","content":"hi"}`), "first message"},
		"an empty text":               {messages, anthropicMessages(`{"role":"user","content":[{"type":"text","text":""}]}`), "non-empty"},
		"a call without its result":   {messages, anthropicMessages(`{"role":"user","content":"hi"},` + use + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}`), "`tool_use` ids"},
		"a result without its call":   {messages, anthropicMessages(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"zz"}]}`), "unexpected `tool_use_id`"},
		"results after text":          {messages, anthropicMessages(`{"role":"user","content":"hi"},` + use + `,{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"a"},{"type":"tool_result","tool_use_id":"b"}]}`), "first"},
		"null as input":               {messages, anthropicMessages(`{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"look","input":null}]}`), "input"},
		"an empty error":              {messages, anthropicMessages(`{"role":"user","content":"hi"},` + use + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":true},{"type":"tool_result","tool_use_id":"b"}]}`), "is_error"},
		"a text of white space":       {messages, anthropicMessages(`{"role":"user","content":[{"type":"text","text":" \n"}]}`), "non-whitespace"},
		"a strange id":                {messages, anthropicMessages(`{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"f.x:0","name":"look","input":{}}]}`), "pattern"},
		"an id used again":            {messages, anthropicMessages(`{"role":"user","content":"hi"},` + use + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},{"type":"tool_result","tool_use_id":"b"}]},` + use), "unique"},
		"a long id":                   {items, `{"model":"m","stream":true,"store":false,"input":[{"type":"function_call","call_id":"` + strings.Repeat("x", 65) + `","name":"f","arguments":"{}"}]}`, "64"},
		"the older max_tokens":        {chats, `{"model":"gpt-5","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, "max_completion_tokens"},
		"a temperature":               {chats, `{"model":"o3","stream":true,"temperature":0.5,"messages":[{"role":"user","content":"hi"}]}`, "temperature"},
		"a forged signature":          {messages, anthropicMessages(`{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"forged"}]}`), "signature"},
		"five breakpoints":            {messages, anthropicMessages(`{"role":"user","content":[` + strings.Repeat(`{"type":"text","text":"x","cache_control":{}},`, 4) + `{"type":"text","text":"x","cache_control":{}}]}`), "maximum of 4"},
		"a tool message out of order": {chats, `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"b","content":"x"}]}`, "tool message"},
		"a tool message missing":      {chats, `{"model":"m","stream":true,"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"x"}]}`, "must be followed"},
		"arguments that are no JSON":  {chats, `{"model":"m","stream":true,"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}}]}]}`, "arguments"},
		"an output without its call":  {items, `{"model":"m","stream":true,"store":false,"input":[{"type":"function_call_output","call_id":"a","output":"x"}]}`, "No tool call found"},
		"a call without its output":   {items, `{"model":"m","stream":true,"store":false,"input":[{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}]}`, "No tool output found"},
		"forged reasoning":            {items, `{"model":"m","stream":true,"store":false,"input":[{"type":"reasoning","encrypted_content":"x"}]}`, "verified"},
		"state at the provider":       {items, `{"model":"m","stream":true,"input":[{"role":"user","content":"hi"}]}`, "store"},
		"too few responses":           {contents, `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"g","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}}]}]}`, "do not match"},
		"an assistant's role":         {contents, `{"contents":[{"role":"assistant","parts":[{"text":"hi"}]}]}`, "valid role"},
		"an empty part":               {contents, `{"contents":[{"role":"user","parts":[{}]}]}`, "oneof"},
		"a forged thought":            {contents, `{"contents":[{"role":"model","parts":[{"text":"x","thoughtSignature":"Zm9yZ2Vk"}]}]}`, "signature"},
	} {
		s := New()
		status, body, _ := post(t, s, tc.path, tc.body)
		if status != 400 || !strings.Contains(body, tc.says) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if s.Last().Refused == "" {
			t.Errorf("%s: the record does not say that it was refused", name)
		}
	}
}

func TestKeyIsDemanded(t *testing.T) {
	t.Parallel()
	for path, body := range good {
		s := New()
		s.Key = "right"
		if status, _, _ := post(t, s, path, body); status != 401 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestMisbehaviour(t *testing.T) {
	t.Parallel()
	for path, body := range good {
		for how, broken := range map[How]bool{Clean: false, Abort: true, Reset: true} {
			s := New()
			reply := Say("one", "two")
			reply.Cut = &Cut{At: -1, How: how}
			s.Enqueue(reply)
			_, got, err := post(t, s, path, body)
			if (err != nil) != broken {
				t.Errorf("%s, cut %d: error %v", path, how, err)
			}
			if strings.Contains(got, "message_stop") || strings.Contains(got, "response.completed") || strings.Contains(got, "[DONE]") || strings.Contains(got, "finishReason") {
				t.Errorf("%s: the end was sent: %s", path, got)
			}
		}
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"paced-200x20@20": true, "paced-1x1@0": true, "paced-0x1@1": false, "paced-x": false, "gpt": false} {
		if _, ok := ParsePace(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	r, _ := ParsePace("paced-200x20@20")
	if len(r.Blocks[0].Deltas) != 200 || len(r.Blocks[0].Deltas[7]) != 20 || r.Pace != 50*time.Millisecond {
		t.Errorf("%d deltas, pace %s", len(r.Blocks[0].Deltas), r.Pace)
	}
	s := New()
	_, body, _ := post(t, s, chats, strings.Replace(good[chats], `"m"`, `"paced-50x8@0"`, 1))
	if n := bytes.Count([]byte(body), []byte(`"content":"`)); n != 51 { // and the empty one of the role
		t.Errorf("%d deltas", n)
	}
}
