// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/internal/sse"
)

// chatStream puts an answer together from chunks.
//
// The accents that it understands: reasoning as "reasoning_content" (DeepSeek,
// SGLang) or "reasoning" (vLLM, Ollama, OpenRouter); tool calls whole, without
// an index, with index -1, or all with index 0; ids repeated in every piece,
// given twice, or missing; arguments as an object; content as a list of parts,
// thinking among them (Mistral); finish reason "stop" after
// tool calls; no [DONE]; errors in any data line; "message" instead of "delta"
// from servers that do not stream.
type chatStream struct {
	answer *provider.Answer
	header http.Header

	block     *provider.Open // the open text or thinking block
	calls     []*chatCall
	reasoning map[string]*strings.Builder // by the name of its field
	refused   bool
	finish    string
	usage     provider.Usage
	id        string
}

type chatCall struct {
	index  int // -1: none given
	id     string
	block  *provider.Open
	minted bool
}

func newChatStream(a *provider.Answer, h http.Header) *chatStream {
	return &chatStream{answer: a, header: h, reasoning: map[string]*strings.Builder{}}
}

type chatChunk struct {
	ID      string       `json:"id"`
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage"`
}

type chatChoice struct {
	Index        int        `json:"index"`
	Delta        *chatDelta `json:"delta"`
	Message      *chatDelta `json:"message"`
	FinishReason string     `json:"finish_reason"`
}

type chatDelta struct {
	Content          chatText        `json:"content"`
	Refusal          string          `json:"refusal"`
	ReasoningContent string          `json:"reasoning_content"`
	Reasoning        string          `json:"reasoning"`
	ToolCalls        []chatCallPiece `json:"tool_calls"`
}

// chatText is a content: a string, or a list of parts.
type chatText struct{ text, thinking string }

// UnmarshalJSON implements json.Unmarshaler.
func (c *chatText) UnmarshalJSON(raw []byte) error {
	if raw[0] != '[' {
		return json.Unmarshal(raw, &c.text)
	}
	var parts []struct {
		Text     string `json:"text"`
		Thinking []struct {
			Text string `json:"text"`
		} `json:"thinking"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		c.text += p.Text
		for _, t := range p.Thinking {
			c.thinking += t.Text
		}
	}
	return nil
}

type chatCallPiece struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// chatUsage counts as OpenAI does: prompt tokens include the cached ones.
type chatUsage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	PromptDetails    struct {
		CachedTokens     int64 `json:"cached_tokens"`
		CacheWriteTokens int64 `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		ReasoningTokens int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
	// DeepSeek's name for the cached ones.
	PromptCacheHitTokens int64 `json:"prompt_cache_hit_tokens"`
}

func (u *chatUsage) normal() provider.Usage {
	read := max(u.PromptDetails.CachedTokens, u.PromptCacheHitTokens)
	write := u.PromptDetails.CacheWriteTokens
	return provider.Usage{
		InputTokens:      max(u.PromptTokens-read-write, 0),
		OutputTokens:     u.CompletionTokens,
		CacheReadTokens:  read,
		CacheWriteTokens: write,
		ThinkingTokens:   u.CompletionDetails.ReasoningTokens,
	}
}

func (s *chatStream) event(ev sse.Event) error {
	if len(bytes.TrimSpace(ev.Data)) == 0 {
		return nil
	}
	if e, ok := parseError(ev.Data); ok {
		return e.typed(0, s.header)
	}
	if ev.Type == "error" {
		return apiError{Message: string(ev.Data)}.typed(0, s.header)
	}
	var c chatChunk
	if err := json.Unmarshal(ev.Data, &c); err != nil {
		return &provider.Error{Class: provider.Internal, RequestID: s.requestID(),
			Message: "the provider sent a chunk that is not of its protocol: " + err.Error()}
	}
	if c.ID != "" {
		s.id = c.ID
	}
	if c.Usage != nil {
		s.usage = c.Usage.normal()
		if err := s.answer.Usage(s.usage); err != nil {
			return err
		}
	}
	for _, ch := range c.Choices {
		if ch.Index != 0 {
			continue // one answer was asked for
		}
		for _, d := range []*chatDelta{ch.Delta, ch.Message} {
			if d == nil {
				continue
			}
			if err := s.delta(d); err != nil {
				return err
			}
		}
		if ch.FinishReason != "" {
			s.finish = ch.FinishReason
		}
	}
	return nil
}

func (s *chatStream) delta(d *chatDelta) error {
	// Who sends both says the same twice.
	field, thinking := "reasoning_content", d.ReasoningContent
	if thinking == "" {
		field, thinking = "reasoning", d.Reasoning
	}
	if err := s.think(field, thinking); err != nil {
		return err
	}
	// That of a list is for people: no server wants it back.
	if err := s.write(provider.KindThinking, d.Content.thinking); err != nil {
		return err
	}
	if err := s.write(provider.KindText, d.Content.text); err != nil {
		return err
	}
	if d.Refusal != "" {
		s.refused = true
		if err := s.write(provider.KindText, d.Refusal); err != nil {
			return err
		}
	}
	for _, p := range d.ToolCalls {
		if err := s.piece(p); err != nil {
			return err
		}
	}
	return nil
}

// think writes a piece of the reasoning, and keeps it under the name that it
// has to go back under.
func (s *chatStream) think(field, text string) error {
	if text == "" {
		return nil
	}
	if err := s.write(provider.KindThinking, text); err != nil {
		return err
	}
	if s.reasoning[field] == nil {
		s.reasoning[field] = &strings.Builder{}
	}
	s.reasoning[field].WriteString(text)
	return s.answer.Hold(len(text))
}

// write adds to the open block, or closes it and opens another of the kind.
func (s *chatStream) write(kind provider.BlockKind, text string) error {
	if text == "" {
		return nil
	}
	if s.block != nil && s.block.Kind() != kind {
		if err := s.closeBlock(); err != nil {
			return err
		}
	}
	if s.block == nil {
		b, err := s.answer.Start(kind)
		if err != nil {
			return err
		}
		s.block = b
	}
	return s.block.Write(text)
}

func (s *chatStream) closeBlock() error {
	if s.block == nil {
		return nil
	}
	b := s.block
	s.block = nil
	return b.Stop()
}

func (s *chatStream) piece(p chatCallPiece) error {
	call := s.find(p)
	if call == nil {
		if err := s.closeBlock(); err != nil {
			return err
		}
		var err error
		if call, err = s.open(p); err != nil {
			return err
		}
	}
	return call.block.Write(arguments(p.Function.Arguments))
}

// find tells which call a piece belongs to; nil means a new one.
func (s *chatStream) find(p chatCallPiece) *chatCall {
	if p.Index != nil && *p.Index >= 0 {
		// From the end: a server that gives every call the same index means
		// the last of them.
		for i := len(s.calls) - 1; i >= 0; i-- {
			c := s.calls[i]
			if c.index != *p.Index {
				continue
			}
			if p.ID != "" && p.Function.Name != "" && p.ID != c.id && !c.minted {
				return nil
			}
			return c
		}
		return nil
	}
	if p.ID != "" {
		for _, c := range s.calls {
			if c.id == p.ID {
				return c
			}
		}
	}
	if p.Function.Name != "" || len(s.calls) == 0 {
		return nil
	}
	return s.calls[len(s.calls)-1]
}

func (s *chatStream) open(p chatCallPiece) (*chatCall, error) {
	c := &chatCall{index: -1, id: p.ID}
	if p.Index != nil && *p.Index >= 0 {
		c.index = *p.Index
	}
	for _, other := range s.calls {
		if other.id == c.id {
			c.id = ""
		}
	}
	if c.id == "" {
		c.id, c.minted = provider.MintCallID(), true
	}
	b, err := s.answer.StartTool(c.id, p.Function.Name)
	c.block = b
	s.calls = append(s.calls, c)
	return c, err
}

// arguments are a piece of a string, or with some servers an object.
func arguments(raw json.RawMessage) string {
	if !present(raw) {
		return ""
	}
	var str string
	if json.Unmarshal(raw, &str) == nil {
		return str
	}
	return string(raw)
}

func (s *chatStream) finished() bool { return s.finish != "" }

func (s *chatStream) requestID() string {
	if id := provider.RequestID(s.header); id != "" {
		return id
	}
	return s.id
}

func (s *chatStream) result() (*provider.Result, error) {
	// Reasons that are failures: DeepSeek's, and OpenRouter's for whatever
	// happened behind it.
	if class, failed := map[string]provider.Class{"insufficient_system_resource": provider.Overloaded, "error": provider.Internal}[s.finish]; failed {
		return nil, &provider.Error{Class: class, RequestID: s.requestID(), Message: "the provider broke the answer off: " + s.finish}
	}
	if len(s.calls) > 0 && len(s.reasoning) > 0 {
		fields := map[string]string{}
		for name, text := range s.reasoning {
			fields[name] = text.String()
		}
		native, err := provider.Encode(fields)
		if err != nil {
			return nil, err
		}
		place, err := s.answer.Place()
		if err == nil {
			err = place.SetNative(native)
		}
		if err != nil {
			return nil, err
		}
	}
	return s.answer.Finish(s.reason(), s.finish, s.requestID())
}

func (s *chatStream) reason() provider.StopReason {
	switch s.finish {
	case "stop":
		switch {
		case s.refused:
			return provider.StopRefusal
		case len(s.calls) > 0:
			return provider.StopToolUse
		}
		return provider.StopEndTurn
	case "tool_calls", "function_call":
		return provider.StopToolUse
	case "length":
		return provider.StopMaxTokens
	case "content_filter":
		return provider.StopContentFilter
	}
	return provider.StopOther
}
