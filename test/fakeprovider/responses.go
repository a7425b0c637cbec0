// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

type responses struct{}

func (responses) key(r *http.Request) string { return chat{}.key(r) }
func (responses) requestIDHeader() string    { return "X-Request-Id" }
func (responses) crlf() bool                 { return false }
func (responses) keepAlive() []byte          { return []byte(": keep-alive\n\n") }
func (responses) refuse(e *Error) []byte     { return chat{}.refuse(e) }

func (responses) inBand(e *InBand) frame {
	if e.Failed {
		return frame{event: "response.failed", data: encode(object{"type": "response.failed", "sequence_number": 99,
			"response": object{"id": "resp_fake", "object": "response", "status": "failed", "error": object{"code": e.Type, "message": e.Message}, "usage": responsesUsage(e.Usage)}})}
	}
	if e.Nested {
		return frame{event: "error", data: encode(object{"type": "error", "sequence_number": 99,
			"error": object{"type": "invalid_request_error", "code": e.Type, "message": e.Message, "param": nil}})}
	}
	return frame{event: "error", data: encode(object{"type": "error", "sequence_number": 99, "code": e.Type, "message": e.Message, "param": nil})}
}

// stream numbers the events of one response.
type responseStream struct {
	out []frame
	n   int
}

func (s *responseStream) add(name string, delta bool, o object) {
	o["type"], o["sequence_number"] = name, s.n
	s.n++
	s.out = append(s.out, frame{event: name, data: encode(o), delta: delta})
}

func (p responses) frames(s *Server, model string, r *Reply) []frame {
	st := &responseStream{}
	response := func(status string, more object) object {
		o := object{"id": "resp_fake", "object": "response", "created_at": 1, "status": status, "model": model, "output": []any{}}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	st.add("response.created", false, object{"response": response("in_progress", nil)})
	st.add("response.in_progress", false, object{"response": response("in_progress", nil)})
	if r.UnknownEvents {
		st.add("response.premonition", false, object{"hint": "from the future"})
	}
	var output []any
	thinking, bare := "", false
	for i, b := range r.Blocks {
		item := p.item(st, i, b, r.UnknownEvents)
		output = append(output, item)
		switch b.Kind {
		case Thinking:
			s.issued.sign(model, b.Signature, string(encode(item)))
			thinking = b.Signature
			bare = bare || b.Signature == ""
		case Tool:
			s.issued.thought(model, b.ID, thinking)
			if bare {
				s.issued.unsigned(model, b.ID)
			}
		}
	}
	more := object{"output": output, "usage": responsesUsage(r.Usage)}
	reason := map[Stop]string{MaxTokens: "max_output_tokens", ContentFilter: "content_filter"}[r.stop()]
	if r.RawStop != "" {
		reason = r.RawStop
	}
	if reason != "" {
		more["incomplete_details"] = object{"reason": reason}
		st.add("response.incomplete", false, object{"response": response("incomplete", more)})
		return st.out
	}
	st.add("response.completed", false, object{"response": response("completed", more)})
	return st.out
}

func responsesUsage(u Usage) object {
	in := u.Input + u.CacheRead + u.CacheWrite
	return object{
		"input_tokens": in, "output_tokens": u.Output, "total_tokens": in + u.Output,
		"input_tokens_details":  object{"cached_tokens": u.CacheRead, "cache_write_tokens": u.CacheWrite},
		"output_tokens_details": object{"reasoning_tokens": u.Thinking},
	}
}

func (responses) item(st *responseStream, i int, b Block, unknown bool) object {
	id := fmt.Sprintf("item_%d", i)
	added := func(o object) {
		st.add("response.output_item.added", false, object{"output_index": i, "item": o})
	}
	each := func(name, field string, extra object) {
		for _, d := range b.Deltas {
			o := object{"output_index": i, "item_id": id, field: d}
			for k, v := range extra {
				o[k] = v
			}
			st.add(name, true, o)
		}
	}
	var item object
	switch b.Kind {
	case Thinking:
		added(object{"type": "reasoning", "id": id, "summary": []any{}})
		st.add("response.reasoning_summary_part.added", false, object{"output_index": i, "item_id": id, "summary_index": 0, "part": object{"type": "summary_text", "text": ""}})
		each("response.reasoning_summary_text.delta", "delta", object{"summary_index": 0})
		st.add("response.reasoning_summary_text.done", false, object{"output_index": i, "item_id": id, "summary_index": 0, "text": b.all()})
		item = object{"type": "reasoning", "id": id, "summary": []any{object{"type": "summary_text", "text": b.all()}}}
		if b.Signature != "" {
			item["encrypted_content"] = b.Signature
		}
	case Tool:
		added(object{"type": "function_call", "id": id, "call_id": b.ID, "name": b.Name, "arguments": "", "status": "in_progress"})
		each("response.function_call_arguments.delta", "delta", nil)
		st.add("response.function_call_arguments.done", false, object{"output_index": i, "item_id": id, "arguments": b.all()})
		item = object{"type": "function_call", "id": id, "call_id": b.ID, "name": b.Name, "arguments": b.all(), "status": "completed"}
	case ServerTool:
		added(object{"type": "web_search_call", "id": id, "status": "in_progress"})
		item = object{"type": "web_search_call", "id": id, "status": "completed", "action": object{"type": "search", "query": b.all()}}
	default:
		kind, field := "output_text", "text"
		if b.Kind == Refusal {
			kind, field = "refusal", "refusal"
		}
		added(object{"type": "message", "id": id, "role": "assistant", "status": "in_progress", "content": []any{}})
		st.add("response.content_part.added", false, object{"output_index": i, "item_id": id, "content_index": 0, "part": object{"type": kind, field: ""}})
		each("response."+kind+".delta", "delta", object{"content_index": 0})
		st.add("response."+kind+".done", false, object{"output_index": i, "item_id": id, "content_index": 0, field: b.all()})
		part := object{"type": kind, field: b.all()}
		if kind == "output_text" {
			part["annotations"] = []any{}
		}
		item = object{"type": "message", "id": id, "role": "assistant", "status": "completed", "content": []any{part}}
	}
	if unknown {
		item["aura"] = "blue"
		st.add("response.aura.delta", false, object{"output_index": i, "delta": "?"})
	}
	st.add("response.output_item.done", false, object{"output_index": i, "item": item})
	return item
}

var responsesFields = fields("model input instructions stream store include tools tool_choice parallel_tool_calls temperature top_p max_output_tokens reasoning text metadata truncation prompt_cache_key prompt_cache_retention user service_tier safety_identifier max_tool_calls stream_options")

func (responses) check(s *Server, model string, body []byte) error {
	if err := onlyFields(body, responsesFields); err != nil {
		return err
	}
	var r struct {
		Stream bool              `json:"stream"`
		Store  *bool             `json:"store"`
		Input  []json.RawMessage `json:"input"`
		Tools  []struct {
			Type, Name string
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	switch {
	case !r.Stream:
		return errors.New("this fake only streams")
	case r.Store == nil || *r.Store:
		return errors.New("this fake keeps nothing: store must be false")
	case len(r.Input) == 0:
		return errors.New("input is required")
	}
	for i, t := range r.Tools {
		if t.Type == "function" && t.Name == "" {
			return fmt.Errorf("tools[%d].name is required", i)
		}
	}
	open := map[string]bool{}
	reasoning := map[string]bool{}
	for i, raw := range r.Input {
		if err := checkItem(s, model, raw, open, reasoning); err != nil {
			return fmt.Errorf("input[%d]: %w", i, err)
		}
	}
	for id := range open {
		return fmt.Errorf("No tool output found for function call %s.", id)
	}
	return nil
}

func checkItem(s *Server, model string, raw json.RawMessage, open, reasoning map[string]bool) error {
	var it struct {
		Type      string          `json:"type"`
		ID        string          `json:"id"`
		Role      string          `json:"role"`
		Content   json.RawMessage `json:"content"`
		CallID    string          `json:"call_id"`
		Name      string          `json:"name"`
		Arguments *string         `json:"arguments"`
		Output    json.RawMessage `json:"output"`
		Encrypted string          `json:"encrypted_content"`
	}
	if err := json.Unmarshal(raw, &it); err != nil {
		return err
	}
	switch it.Type {
	case "", "message":
		if it.Role != "user" && it.Role != "assistant" && it.Role != "system" && it.Role != "developer" {
			return fmt.Errorf("role %q", it.Role)
		}
		if len(it.Content) == 0 || string(it.Content) == "null" || string(it.Content) == "[]" {
			return errors.New("content is empty")
		}
	case "reasoning":
		if it.Encrypted == "" {
			return errors.New("Item 'rs_…' not found: items are not persisted when store is false")
		}
		var same object
		_ = json.Unmarshal(raw, &same)
		if err := s.issued.verify(model, it.Encrypted, string(encode(same))); err != nil {
			return fmt.Errorf("the encrypted content could not be verified: %w", err)
		}
		reasoning[it.Encrypted] = true
	case "function_call":
		if it.CallID == "" || it.Name == "" || it.Arguments == nil {
			return errors.New("function_call needs call_id, name and arguments")
		}
		if len(it.CallID) > 64 || !callID.MatchString(it.CallID) {
			return fmt.Errorf("Invalid 'call_id': %q: letters, digits, _ and -, at most 64", it.CallID)
		}
		if it.ID != "" && s.issued.isUnsigned(model, it.CallID) {
			return fmt.Errorf("Item '%s' of type 'function_call' was provided without its required 'reasoning' item", it.ID)
		}
		if sig := s.issued.signatureOf(model, it.CallID); sig != "" && !reasoning[sig] {
			return fmt.Errorf("function_call %s was provided without its required 'reasoning' item", it.CallID)
		}
		open[it.CallID] = true
	case "function_call_output":
		if !open[it.CallID] {
			return fmt.Errorf("No tool call found for function call output with call_id %s.", it.CallID)
		}
		if len(it.Output) == 0 || string(it.Output) == "null" {
			return errors.New("output is required")
		}
		delete(open, it.CallID)
	case "web_search_call":
	default:
		return fmt.Errorf("type %q is unknown", it.Type)
	}
	return nil
}
