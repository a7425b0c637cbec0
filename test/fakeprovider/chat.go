// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

type chat struct{}

func (chat) key(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}
func (chat) requestIDHeader() string { return "X-Request-Id" }
func (chat) crlf() bool              { return false }
func (chat) keepAlive() []byte       { return []byte(": keep-alive\n\n") }

func (chat) refuse(e *Error) []byte {
	if e.List {
		return encode([]object{{"error": object{"code": e.Status, "message": e.Message, "status": e.Type}}})
	}
	return encode(object{"error": object{"message": e.Message, "type": e.Type, "param": nil, "code": e.Type}})
}

func (chat) inBand(e *InBand) frame {
	o := object{"message": e.Message, "type": e.Type}
	if e.Code != 0 {
		o["code"] = e.Code
	}
	return frame{data: encode(object{"error": o})}
}

var chatStops = map[Stop]string{
	EndTurn: "stop", ToolUse: "tool_calls", MaxTokens: "length", StopSequence: "stop",
	Refused: "stop", ContentFilter: "content_filter", Context: "length", Pause: "pause", Blocked: "content_filter",
}

func (p chat) frames(s *Server, model string, r *Reply) []frame {
	chunk := func(delta object, finish any) frame {
		o := object{"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": model,
			"choices": []any{object{"index": 0, "delta": delta, "finish_reason": finish}}}
		if r.UnknownEvents {
			o["obfuscation"] = "xyz"
			delta["aura"] = "blue"
		}
		return frame{data: encode(o), delta: finish == nil && len(delta) > 0 && delta["role"] == nil}
	}
	finish := chatStops[r.stop()]
	if r.Accent == AccentOllama && finish == "tool_calls" {
		finish = "stop"
	}
	if r.RawStop != "" {
		finish = r.RawStop
	}
	thinking := ""
	for _, b := range r.Blocks {
		switch {
		case r.Accent == AccentParts: // wants nothing back
		case b.Kind == Thinking:
			s.issued.sign(model, b.all(), b.all())
			thinking = b.all()
		case b.Kind == Tool:
			s.issued.thought(model, b.ID, thinking)
		}
	}
	if r.Accent == AccentWhole {
		return []frame{p.whole(model, r, finish)}
	}
	out := []frame{chunk(object{"role": "assistant", "content": ""}, nil)}
	calls := 0
	for _, b := range r.Blocks {
		if b.Kind == Tool {
			for _, piece := range chatPieces(b, calls, r.Accent) {
				out = append(out, chunk(object{"tool_calls": []any{piece}}, nil))
			}
			calls++
			continue
		}
		for _, d := range b.Deltas {
			out = append(out, chunk(chatPiece(b.Kind, d, r.Accent), nil))
		}
	}
	if r.Interleave {
		out = append(out[:1:1], alternate(out[1:])...)
	}
	out = append(out, chunk(object{}, finish),
		frame{data: encode(object{"id": "chatcmpl-fake", "object": "chat.completion.chunk", "model": model, "choices": []any{}, "usage": chatUsageOf(r.Usage)})})
	if r.Accent != AccentNoDone {
		out = append(out, frame{data: []byte("[DONE]")})
	}
	return out
}

// alternate takes the pieces of tool calls by turns: piece by piece, since the
// index says whose each is. Only pieces behind the first of each call move.
func alternate(fs []frame) []frame {
	byCall := map[int][]frame{}
	var order []int
	var out []frame
	for _, f := range fs {
		var c struct {
			Choices []struct {
				Delta struct {
					ToolCalls []struct{ Index *int } `json:"tool_calls"`
				}
			}
		}
		_ = json.Unmarshal(f.data, &c)
		calls := c.Choices[0].Delta.ToolCalls
		if len(calls) == 0 || calls[0].Index == nil {
			out = append(out, f)
			continue
		}
		i := *calls[0].Index
		if byCall[i] == nil {
			order = append(order, i)
		}
		byCall[i] = append(byCall[i], f)
	}
	for row, more := 0, true; more; row++ {
		more = false
		for _, i := range order {
			if row < len(byCall[i]) {
				out = append(out, byCall[i][row])
				more = true
			}
		}
	}
	return out
}

func chatPiece(k Kind, d string, a Accent) object {
	if a != AccentParts {
		return object{chatField(k, a): d}
	}
	part := object{"type": "text", "text": d}
	if k == Thinking {
		part = object{"type": "thinking", "thinking": []any{part}}
	}
	return object{"content": []any{part}}
}

func chatField(k Kind, a Accent) string {
	switch {
	case k == Thinking && a == AccentReasoning:
		return "reasoning"
	case k == Thinking:
		return "reasoning_content"
	case k == Refusal:
		return "refusal"
	}
	return "content"
}

func chatPieces(b Block, n int, a Accent) []any {
	call := func(index any, id, name string, arguments any) object {
		o := object{"function": object{"arguments": arguments}}
		if index != nil {
			o["index"] = index
		}
		if id != "" {
			o["id"], o["type"] = id, "function"
		}
		if name != "" {
			o["function"].(object)["name"] = name
		}
		return o
	}
	switch a {
	case AccentOllama:
		return []any{call(0, b.ID, b.Name, b.all())}
	case AccentObject:
		return []any{call(n, b.ID, b.Name, json.RawMessage(b.all()))}
	}
	out := []any{}
	for i, d := range append([]string{""}, b.Deltas...) {
		id, name, index := "", "", any(n)
		if i == 0 || a == AccentRepeatID {
			id, name = b.ID, b.Name
		}
		switch a {
		case AccentNoIndex:
			index = nil
		case AccentMinusOne:
			index = -1
		case AccentNoID:
			id = ""
		}
		out = append(out, call(index, id, name, d))
	}
	return out
}

func (chat) whole(model string, r *Reply, finish string) frame {
	m := object{"role": "assistant"}
	var calls []any
	for _, b := range r.Blocks {
		if b.Kind == Tool {
			calls = append(calls, object{"id": b.ID, "type": "function", "function": object{"name": b.Name, "arguments": b.all()}})
			continue
		}
		m[chatField(b.Kind, r.Accent)] = b.all()
	}
	if calls != nil {
		m["tool_calls"] = calls
	}
	return frame{data: encode(object{"id": "chatcmpl-fake", "object": "chat.completion", "model": model,
		"choices": []any{object{"index": 0, "message": m, "finish_reason": finish}}, "usage": chatUsageOf(r.Usage)})}
}

func chatUsageOf(u Usage) object {
	return object{
		"prompt_tokens": u.Input + u.CacheRead + u.CacheWrite, "completion_tokens": u.Output,
		"total_tokens":              u.Input + u.CacheRead + u.CacheWrite + u.Output,
		"prompt_tokens_details":     object{"cached_tokens": u.CacheRead, "cache_write_tokens": u.CacheWrite},
		"completion_tokens_details": object{"reasoning_tokens": u.Thinking},
	}
}

type chatMessage struct {
	Role             string          `json:"role"`
	Content          json.RawMessage `json:"content"`
	ReasoningContent string          `json:"reasoning_content"`
	Reasoning        string          `json:"reasoning"`
	ToolCallID       string          `json:"tool_call_id"`
	ToolCalls        []struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

// reasons tells OpenAI's own models that reason.
func reasons(model string) bool {
	return strings.HasPrefix(model, "gpt-5") || strings.HasPrefix(model, "o3")
}

func (chat) check(s *Server, model string, body []byte) error {
	var r struct {
		Messages []chatMessage `json:"messages"`
		Stream   bool          `json:"stream"`
		// Fields that a model which reasons refuses.
		MaxTokens   json.RawMessage `json:"max_tokens"`
		Temperature *float64        `json:"temperature"`
		Tools       []struct {
			Type     string `json:"type"`
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	if !r.Stream || len(r.Messages) == 0 {
		return errors.New("messages and stream are required")
	}
	own := reasons(model)
	switch {
	case own && len(r.MaxTokens) > 0:
		return errors.New("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
	case own && r.Temperature != nil && *r.Temperature != 1:
		return errors.New("Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported.")
	}
	for i, t := range r.Tools {
		if t.Type != "function" || t.Function.Name == "" {
			return fmt.Errorf("tools[%d] is no function", i)
		}
	}
	var open []string
	for i, m := range r.Messages {
		if len(open) > 0 && m.Role != "tool" {
			return fmt.Errorf("messages[%d]: an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id': %v", i, open)
		}
		switch m.Role {
		case "tool":
			if len(open) == 0 || open[0] != m.ToolCallID {
				return fmt.Errorf("messages[%d]: tool message %q, the calls that wait are %v", i, m.ToolCallID, open)
			}
			open = open[1:]
		case "assistant":
			if len(m.ToolCalls) == 0 && (len(m.Content) == 0 || string(m.Content) == "null") {
				return fmt.Errorf("messages[%d].content is null", i)
			}
			for _, c := range m.ToolCalls {
				if c.ID == "" || c.Type != "function" || !isObject([]byte(c.Function.Arguments)) {
					return fmt.Errorf("messages[%d]: a tool call needs id, type and JSON arguments", i)
				}
				if own && (len(c.ID) > 40 || !callID.MatchString(c.ID)) {
					return fmt.Errorf("Invalid 'messages[%d].tool_calls[0].id': string too long. Expected a string with maximum length 40", i)
				}
				open = append(open, c.ID)
				want := s.issued.signatureOf(model, c.ID)
				if want != "" && m.ReasoningContent != want && m.Reasoning != want {
					return fmt.Errorf("messages[%d]: missing `reasoning_content` field in the assistant message", i)
				}
			}
		case "user", "system", "developer":
			if len(m.Content) == 0 || string(m.Content) == "null" {
				return fmt.Errorf("messages[%d].content is null", i)
			}
		default:
			return fmt.Errorf("messages[%d].role %q", i, m.Role)
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("tool calls without messages: %v", open)
	}
	return nil
}
