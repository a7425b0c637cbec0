// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package anthropic calls the Anthropic Messages API through the official SDK.
//
// The SDK sends, decodes and types the errors. The body is rendered here, since
// thinking blocks have to go back byte for byte, the parameters of a model are
// free, and the prompt cache wants the same bytes for the same history.
//
// What comes as an unsigned copy of something (a thinking block's text) is for
// people; what goes back is the native block. Blocks that our messages have no
// word for (server tools and their results) are native blocks only.
package anthropic

import (
	"context"
	"encoding/json"
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"safebeam.dev/safebeam/pkg/provider"
)

// DefaultBaseURL is Anthropic itself.
const DefaultBaseURL = "https://api.anthropic.com"

type anthropic struct {
	cfg    provider.Config
	client sdk.Client
}

// New makes the provider.
func New(cfg provider.Config) (provider.Provider, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	hc, err := cfg.Client(cfg.BaseURL, provider.Credential{Header: "X-Api-Key"})
	if err != nil {
		return nil, err
	}
	return &anthropic{cfg: cfg, client: sdk.NewClient(
		option.WithoutEnvironmentDefaults(),
		option.WithBaseURL(cfg.BaseURL),
		option.WithHTTPClient(hc),
		option.WithMaxRetries(0),
		// The key is put in by the HTTP client, behind the SDK's back.
		option.WithAPIKey(""),
	)}, nil
}

// Call implements provider.Provider.
func (a *anthropic) Call(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
	body, err := render(req)
	if err != nil {
		return nil, err
	}
	return a.cfg.Attempt(ctx, func(ctx context.Context) (*provider.Result, error) {
		return a.call(ctx, req.Model, body, emit)
	})
}

func (a *anthropic) call(ctx context.Context, model string, body []byte, emit provider.Emit) (*provider.Result, error) {
	stream := a.client.Messages.NewStreaming(ctx, sdk.MessageNewParams{}, option.WithRequestBody("application/json", body))
	defer stream.Close()
	s := &answer{Answer: provider.NewAnswer(provider.Anthropic, model, emit), open: map[int64]*block{}}
	for stream.Next() {
		if err := s.event(stream.Current()); err != nil {
			return nil, err
		}
		if s.ended {
			return s.Finish(stopReason(s.stop), s.stop, provider.RequestID(provider.ResponseHeader(ctx)))
		}
	}
	if err := stream.Err(); err != nil {
		return nil, typed(ctx, err)
	}
	return nil, provider.CutOff(ctx)
}

// answer follows the events of one message.
type answer struct {
	*provider.Answer
	open  map[int64]*block
	tools []*block // since the last block that is not a tool call
	usage provider.Usage
	stop  string
	ended bool
}

// block is one content block in the provider's own form and ours.
type block struct {
	kind string
	raw  map[string]json.RawMessage
	out  *provider.Open // a mere place for a block that is native only
	// json is the input of a server's tool; that of ours is out's text.
	json      strings.Builder
	signature strings.Builder
	citations []json.RawMessage
}

func (s *answer) event(ev sdk.MessageStreamEventUnion) error {
	switch ev.Type {
	case "message_start":
		return s.count(ev.Message.Usage.RawJSON())
	case "content_block_start":
		return s.start(ev.Index, ev.ContentBlock.RawJSON())
	case "content_block_delta":
		b := s.open[ev.Index]
		if b == nil {
			return provider.Errorf(provider.Internal, "the provider sent a piece of block %d, which is not open", ev.Index)
		}
		return s.delta(b, ev.Delta)
	case "content_block_stop":
		if b := s.open[ev.Index]; b != nil {
			delete(s.open, ev.Index)
			return s.close(b)
		}
	case "message_delta":
		if r := string(ev.Delta.StopReason); r != "" {
			s.stop = r
		}
		return s.count(ev.Usage.RawJSON())
	case "message_stop":
		// Without a reason it is not an end that one may trust.
		s.ended = s.stop != ""
	}
	return nil
}

// count takes usage as it grows: a later event need not repeat every field.
func (s *answer) count(raw string) error {
	var u struct {
		Input      *int64 `json:"input_tokens"`
		Output     *int64 `json:"output_tokens"`
		CacheRead  *int64 `json:"cache_read_input_tokens"`
		CacheWrite *int64 `json:"cache_creation_input_tokens"`
		Details    *struct {
			Thinking *int64 `json:"thinking_tokens"`
		} `json:"output_tokens_details"`
	}
	if json.Unmarshal([]byte(raw), &u) != nil {
		return nil
	}
	set := func(into *int64, v *int64) {
		if v != nil {
			*into = *v
		}
	}
	set(&s.usage.InputTokens, u.Input)
	set(&s.usage.OutputTokens, u.Output)
	set(&s.usage.CacheReadTokens, u.CacheRead)
	set(&s.usage.CacheWriteTokens, u.CacheWrite)
	if u.Details != nil {
		set(&s.usage.ThinkingTokens, u.Details.Thinking)
	}
	return s.Usage(s.usage)
}

func (s *answer) start(index int64, raw string) error {
	if err := s.Hold(len(raw)); err != nil {
		return err
	}
	b := &block{}
	if err := json.Unmarshal([]byte(raw), &b.raw); err != nil {
		return provider.Errorf(provider.Internal, "the provider started a block that is no object: %v", err)
	}
	var head struct{ Type, ID, Name, Text, Thinking, Signature string }
	_ = json.Unmarshal([]byte(raw), &head)
	b.kind = head.Type
	b.signature.WriteString(head.Signature)
	s.open[index] = b
	var err error
	switch head.Type {
	case "text":
		if b.out, err = s.Start(provider.KindText); err == nil {
			err = b.out.Write(head.Text)
		}
	case "thinking":
		if b.out, err = s.Start(provider.KindThinking); err == nil {
			err = b.out.Write(head.Thinking)
		}
	case "tool_use":
		b.out, err = s.StartTool(head.ID, head.Name)
	default:
		b.out, err = s.Place()
	}
	if err != nil {
		return err
	}
	if head.Type == "tool_use" {
		s.tools = append(s.tools, b)
		return nil
	}
	// Calls that something follows have a place in the content to keep.
	for _, t := range s.tools {
		t.keepPlace()
	}
	s.tools = nil
	return nil
}

func (s *answer) delta(b *block, d sdk.MessageStreamEventUnionDelta) error {
	switch d.Type {
	case "text_delta":
		return b.out.Write(d.Text)
	case "thinking_delta":
		return b.out.Write(d.Thinking)
	case "signature_delta":
		b.signature.WriteString(d.Signature)
		return s.Hold(len(d.Signature))
	case "input_json_delta":
		if b.kind == "tool_use" {
			return b.out.Write(d.PartialJSON)
		}
		b.json.WriteString(d.PartialJSON)
		return s.Hold(len(d.PartialJSON))
	case "citations_delta":
		raw := d.Citation.RawJSON()
		b.citations = append(b.citations, json.RawMessage(raw))
		return s.Hold(len(raw))
	}
	return nil
}

func (s *answer) close(b *block) error {
	switch {
	case b.kind == "tool_use":
		// The start says {} and the deltas say the input; some compatible
		// servers say all of it in the start.
		if in := provider.InputObject(string(b.raw["input"])); b.out.Len() == 0 && string(in) != "{}" {
			if err := b.out.Write(string(in)); err != nil {
				return err
			}
		}
	case b.kind == "text" && len(b.citations) == 0:
	default:
		if err := b.out.SetNative(b.native()); err != nil {
			return err
		}
	}
	return b.out.Stop()
}

// keepPlace makes the call a native block too, which says where it was.
func (b *block) keepPlace() { b.out.SetNativeLater(b.native) }

// native is the block as the provider would have sent it in one piece.
func (b *block) native() []byte {
	whole := map[string]any{}
	for k, v := range b.raw {
		whole[k] = v
	}
	switch b.kind {
	case "thinking":
		whole["thinking"], whole["signature"] = b.out.Text(), b.signature.String()
	case "text":
		whole["text"], whole["citations"] = b.out.Text(), b.citations
	case "tool_use":
		whole["input"] = provider.InputObject(b.out.Text())
	default:
		if b.json.Len() > 0 {
			whole["input"] = provider.InputObject(b.json.String())
		}
	}
	data, err := provider.Encode(whole)
	if err != nil {
		return nil
	}
	return data
}

var stopReasons = map[string]provider.StopReason{
	"end_turn":                      provider.StopEndTurn,
	"max_tokens":                    provider.StopMaxTokens,
	"stop_sequence":                 provider.StopSequence,
	"tool_use":                      provider.StopToolUse,
	"pause_turn":                    provider.StopPaused,
	"refusal":                       provider.StopRefusal,
	"model_context_window_exceeded": provider.StopContextExceeded,
}

func stopReason(raw string) provider.StopReason {
	if r, ok := stopReasons[raw]; ok {
		return r
	}
	return provider.StopOther
}
