// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// callID is what OpenAI and Anthropic take for the id of a call.
var callID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

type anthropic struct{}

func (anthropic) key(r *http.Request) string { return r.Header.Get("X-Api-Key") }
func (anthropic) requestIDHeader() string    { return "Request-Id" }
func (anthropic) crlf() bool                 { return false }
func (anthropic) keepAlive() []byte          { return []byte("event: ping\ndata: {\"type\": \"ping\"}\n\n") }

func (anthropic) refuse(e *Error) []byte {
	return encode(object{"type": "error", "error": object{"type": e.Type, "message": e.Message}, "request_id": "req_fake"})
}

func (anthropic) inBand(e *InBand) frame {
	return frame{event: "error", data: encode(object{"type": "error", "error": object{"type": e.Type, "message": e.Message}, "request_id": "req_fake"})}
}

var anthropicStops = map[Stop]string{
	EndTurn: "end_turn", ToolUse: "tool_use", MaxTokens: "max_tokens", StopSequence: "stop_sequence",
	Refused: "refusal", ContentFilter: "refusal", Context: "model_context_window_exceeded", Pause: "pause_turn", Blocked: "refusal",
}

func (p anthropic) frames(s *Server, model string, r *Reply) []frame {
	ev := func(name string, o object) frame {
		o["type"] = name
		return frame{event: name, data: encode(o)}
	}
	usage := object{"input_tokens": r.Usage.Input, "output_tokens": 1,
		"cache_read_input_tokens": r.Usage.CacheRead, "cache_creation_input_tokens": r.Usage.CacheWrite}
	out := []frame{ev("message_start", object{"message": object{"id": "msg_fake", "type": "message", "role": "assistant",
		"model": model, "content": []any{}, "stop_reason": nil, "stop_sequence": nil, "usage": usage}})}
	if r.UnknownEvents {
		out = append(out, ev("message_premonition", object{"hint": "from the future"}), ev("ping", object{}))
	}
	var starts, stops []frame
	var deltas [][]frame
	thinking := ""
	for i, b := range r.Blocks {
		start, ds := p.block(i, b, r.Accent)
		if r.UnknownEvents {
			ds = append(ds, ev("content_block_delta", object{"index": i, "delta": object{"type": "aura_delta", "aura": "blue"}}))
		}
		starts, deltas = append(starts, start), append(deltas, ds)
		stops = append(stops, ev("content_block_stop", object{"index": i}))
		switch b.Kind {
		case Thinking, Redacted:
			s.issued.sign(model, b.Signature, b.all())
			thinking = b.Signature
		case Tool:
			s.issued.thought(model, b.ID, thinking)
		}
	}
	out = append(out, weave(starts, deltas, stops, r.Interleave)...)
	raw := anthropicStops[r.stop()]
	if r.RawStop != "" {
		raw = r.RawStop
	}
	final := object{"output_tokens": r.Usage.Output}
	if r.Usage.Thinking > 0 {
		final["output_tokens_details"] = object{"thinking_tokens": r.Usage.Thinking}
	}
	return append(out,
		ev("message_delta", object{"delta": object{"stop_reason": raw, "stop_sequence": nil}, "usage": final}),
		ev("message_stop", object{}))
}

// weave puts blocks one after the other, or, since starts come in index order
// but open blocks may take turns, all starts first and then the deltas by
// turns.
func weave(starts []frame, deltas [][]frame, stops []frame, interleave bool) []frame {
	var out []frame
	if !interleave {
		for i := range starts {
			out = append(append(append(out, starts[i]), deltas[i]...), stops[i])
		}
		return out
	}
	out = append(out, starts...)
	for row, more := 0, true; more; row++ {
		more = false
		for i := range deltas {
			if row < len(deltas[i]) {
				out = append(out, deltas[i][row])
				more = true
			}
		}
	}
	return append(out, stops...)
}

func (anthropic) block(i int, b Block, accent Accent) (frame, []frame) {
	start := func(content object) frame {
		return frame{event: "content_block_start", data: encode(object{"type": "content_block_start", "index": i, "content_block": content})}
	}
	delta := func(d object) frame {
		return frame{event: "content_block_delta", delta: true, data: encode(object{"type": "content_block_delta", "index": i, "delta": d})}
	}
	each := func(kind, field string) []frame {
		var out []frame
		for _, d := range b.Deltas {
			out = append(out, delta(object{"type": kind, field: d}))
		}
		return out
	}
	switch b.Kind {
	case Thinking:
		ds := each("thinking_delta", "thinking")
		if b.Signature != "" {
			ds = append(ds, delta(object{"type": "signature_delta", "signature": b.Signature}))
		}
		return start(object{"type": "thinking", "thinking": "", "signature": ""}), ds
	case Redacted:
		return start(object{"type": "redacted_thinking", "data": b.Signature}), nil
	case Tool:
		if accent == AccentStart {
			return start(object{"type": "tool_use", "id": b.ID, "name": b.Name, "input": json.RawMessage(b.all())}), nil
		}
		return start(object{"type": "tool_use", "id": b.ID, "name": b.Name, "input": object{}}), each("input_json_delta", "partial_json")
	case ServerTool:
		return start(object{"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": object{}}), each("input_json_delta", "partial_json")
	}
	return start(object{"type": "text", "text": ""}), each("text_delta", "text")
}

type anthropicRequest struct {
	MaxTokens *int64             `json:"max_tokens"`
	Stream    bool               `json:"stream"`
	System    json.RawMessage    `json:"system"`
	Messages  []anthropicMessage `json:"messages"`
	Tools     []struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"input_schema"`
		Cache  any             `json:"cache_control"`
	} `json:"tools"`
	Thinking *struct {
		Type   string `json:"type"`
		Budget int64  `json:"budget_tokens"`
	} `json:"thinking"`
}

type anthropicMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type anthropicBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	IsError   bool            `json:"is_error"`
	Content   json.RawMessage `json:"content"`
	Cache     any             `json:"cache_control"`
}

var anthropicFields = fields("model max_tokens messages stream system tools tool_choice temperature top_k top_p thinking output_config stop_sequences metadata service_tier cache_control container context_management")

func (p anthropic) check(s *Server, model string, body []byte) error {
	if err := onlyFields(body, anthropicFields); err != nil {
		return err
	}
	var r anthropicRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	switch {
	case r.MaxTokens == nil || *r.MaxTokens < 0:
		return errors.New("max_tokens: Field required")
	case !r.Stream:
		return errors.New("this fake only streams")
	case len(r.Messages) == 0:
		return errors.New("messages: at least one message is required")
	case r.Messages[0].Role != "user":
		return errors.New("messages: first message must use the \"user\" role")
	case r.Thinking != nil && r.Thinking.Type == "enabled" && (r.Thinking.Budget < 1024 || r.Thinking.Budget >= *r.MaxTokens):
		return errors.New("thinking.budget_tokens must be at least 1024 and less than max_tokens")
	}
	var all [][]anthropicBlock
	breakpoints := 0
	for i, m := range r.Messages {
		if m.Role != "user" && m.Role != "assistant" {
			return fmt.Errorf("messages.%d.role: Input should be 'user' or 'assistant'", i)
		}
		bs, err := blocksOf(m.Content)
		if err != nil {
			return fmt.Errorf("messages.%d: %w", i, err)
		}
		for j, b := range bs {
			if err := p.checkBlock(s, model, m.Role, b); err != nil {
				return fmt.Errorf("messages.%d.content.%d: %w", i, j, err)
			}
			breakpoints += present(b.Cache)
		}
		all = append(all, bs)
	}
	system, err := blocksOf(r.System)
	if len(r.System) > 0 && err != nil {
		return fmt.Errorf("system: %w", err)
	}
	for _, b := range system {
		breakpoints += present(b.Cache)
	}
	for i, t := range r.Tools {
		if t.Name == "" || !isObject(t.Schema) {
			return fmt.Errorf("tools.%d: name and input_schema are required", i)
		}
		breakpoints += present(t.Cache)
	}
	if breakpoints > 4 {
		return fmt.Errorf("A maximum of 4 blocks with cache_control may be provided. Found %d.", breakpoints)
	}
	return p.checkPairs(s, model, r.Messages, all)
}

func present(v any) int {
	if v == nil {
		return 0
	}
	return 1
}

func (anthropic) checkBlock(s *Server, model, role string, b anthropicBlock) error {
	switch b.Type {
	case "text":
		if b.Text == "" {
			return errors.New("text content blocks must be non-empty")
		}
		if strings.TrimSpace(b.Text) == "" {
			return errors.New("text content blocks must contain non-whitespace text")
		}
	case "thinking":
		if b.Cache != nil {
			return errors.New("thinking.cache_control: Extra inputs are not permitted")
		}
		if err := s.issued.verify(model, b.Signature, b.Thinking); err != nil {
			return fmt.Errorf("Invalid `signature` in `thinking` block: %w", err)
		}
	case "redacted_thinking":
		if err := s.issued.verify(model, b.Data, ""); err != nil {
			return err
		}
	case "tool_use":
		if role != "assistant" || b.ID == "" || b.Name == "" || !isObject(b.Input) {
			return errors.New("tool_use: id, name and an object as input are required, in an assistant message")
		}
		if !callID.MatchString(b.ID) {
			return fmt.Errorf("tool_use.id: String should match pattern '%s'", callID)
		}
	case "tool_result":
		if role != "user" {
			return errors.New("tool_result blocks may only be in user messages")
		}
		if len(b.Content) == 0 && b.IsError {
			return errors.New("tool_result: content cannot be empty if `is_error` is true")
		}
		var inner []anthropicBlock
		_ = json.Unmarshal(b.Content, &inner)
		for _, c := range inner {
			if c.Type == "text" && strings.TrimSpace(c.Text) == "" {
				return errors.New("tool_result: text content blocks must contain non-whitespace text")
			}
		}
	case "image", "server_tool_use":
	default:
		return fmt.Errorf("type %q is unknown", b.Type)
	}
	return nil
}

// checkPairs holds tool calls and results together: all results of one message
// in the next one, first, and nothing else's; and thinking before the calls
// that came of it.
func (anthropic) checkPairs(s *Server, model string, ms []anthropicMessage, all [][]anthropicBlock) error {
	open, seen := map[string]bool{}, map[string]bool{}
	for i, bs := range all {
		results, other := map[string]bool{}, false
		for _, b := range bs {
			if b.Type != "tool_result" {
				other = true
				continue
			}
			if other {
				return fmt.Errorf("messages.%d: tool_result blocks must come first", i)
			}
			if !open[b.ToolUseID] {
				return fmt.Errorf("messages.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s", i, b.ToolUseID)
			}
			results[b.ToolUseID] = true
		}
		for id := range open {
			if !results[id] {
				return fmt.Errorf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s", i, id)
			}
		}
		open = map[string]bool{}
		for _, b := range bs {
			if b.Type != "tool_use" {
				continue
			}
			if seen[b.ID] {
				return fmt.Errorf("messages.%d: `tool_use` ids must be unique", i)
			}
			open[b.ID], seen[b.ID] = true, true
			if sig := s.issued.signatureOf(model, b.ID); sig != "" && bs[0].Signature != sig && bs[0].Data != sig && !holds(bs, sig) {
				return fmt.Errorf("messages.%d: Expected `thinking` or `redacted_thinking`, but found `%s`", i, bs[0].Type)
			}
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after", len(ms))
	}
	return nil
}

func holds(bs []anthropicBlock, signature string) bool {
	for _, b := range bs {
		if b.Signature == signature || b.Data == signature {
			return true
		}
	}
	return false
}

func blocksOf(raw json.RawMessage) ([]anthropicBlock, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text == "" {
			return nil, errors.New("content must be non-empty")
		}
		return []anthropicBlock{{Type: "text", Text: text}}, nil
	}
	var bs []anthropicBlock
	if err := json.Unmarshal(raw, &bs); err != nil {
		return nil, err
	}
	if len(bs) == 0 {
		return nil, errors.New("content must be non-empty")
	}
	return bs, nil
}
