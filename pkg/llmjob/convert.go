// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"encoding/json"

	"safebeam.dev/safebeam/pkg/provider"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// request is the assignment in the provider's terms. What the resource leaves
// out comes from the Secret.
func request(a *tightbeampb.TurnAssignment, s *Secret) *provider.Request {
	mc := a.GetModelConfig()
	req := &provider.Request{
		Model:      mc.GetModel(),
		System:     a.GetSystem(),
		MaxTokens:  int64(mc.GetMaxTokens()),
		ToolChoice: mc.GetToolChoice(),
		Thinking: provider.Thinking{
			BudgetTokens: int64(mc.GetThinkingBudgetTokens()),
			Effort:       mc.GetThinkingEffort(),
		},
		ResponseSchema: json.RawMessage(mc.GetResponseSchemaJson()),
		Parameters:     json.RawMessage(mc.GetParametersJson()),
	}
	if mc != nil {
		req.Temperature = mc.Temperature
	}
	if s != nil {
		if req.Model == "" {
			req.Model = s.Model
		}
		if req.MaxTokens == 0 {
			req.MaxTokens = s.MaxTokens
		}
	}
	if req.MaxTokens == 0 {
		req.MaxTokens = DefaultMaxTokens
	}
	for _, t := range a.GetTools() {
		req.Tools = append(req.Tools, provider.Tool{Name: t.GetName(), Description: t.GetDescription(), Schema: json.RawMessage(t.GetParametersJson())})
	}
	for _, m := range a.GetMessages() {
		req.Messages = append(req.Messages, message(m))
	}
	return req
}

func message(m *tightbeampb.Message) provider.Message {
	out := provider.Message{Role: provider.Role(m.GetRole()), ToolCallID: m.GetToolCallId(), IsError: m.GetIsError()}
	for _, b := range m.GetContent() {
		switch b := b.GetBlock().(type) {
		case *tightbeampb.ContentBlock_Text:
			out.Content = append(out.Content, provider.Text(b.Text.GetText()))
		case *tightbeampb.ContentBlock_Image:
			out.Content = append(out.Content, provider.Block{Kind: provider.KindImage,
				Image: &provider.Image{MediaType: b.Image.GetMediaType(), Data: b.Image.GetData()}})
		case *tightbeampb.ContentBlock_Thinking:
			out.Content = append(out.Content, provider.Block{Kind: provider.KindThinking, Text: b.Thinking.GetText()})
		case *tightbeampb.ContentBlock_Native:
			out.Content = append(out.Content, provider.Block{Kind: provider.KindNative,
				Native: &provider.Native{Provider: b.Native.GetProvider(), Model: b.Native.GetModel(), Data: b.Native.GetData()}})
		}
	}
	for _, c := range m.GetToolCalls() {
		out.ToolCalls = append(out.ToolCalls, provider.ToolCall{ID: c.GetId(), Name: c.GetName(), Input: c.GetInputJson()})
	}
	return out
}

// chunks is what one event is on the wire.
func chunks(ev provider.Event) []*tightbeampb.TurnResultChunk {
	switch {
	case ev.Start != nil:
		i := int32(ev.Start.Index)
		if ev.Start.Kind == provider.KindToolUse {
			// ToolUseStart is the beginning of its block: one event, one chunk.
			return []*tightbeampb.TurnResultChunk{{BlockIndex: i,
				Chunk: &tightbeampb.TurnResultChunk_ToolUseStart{ToolUseStart: &tightbeampb.ToolUseStart{Id: ev.Start.ToolID, Name: ev.Start.ToolName}}}}
		}
		return []*tightbeampb.TurnResultChunk{{BlockIndex: i,
			Chunk: &tightbeampb.TurnResultChunk_BlockStart{BlockStart: &tightbeampb.BlockStart{Kind: string(ev.Start.Kind)}}}}
	case ev.Delta != nil:
		return []*tightbeampb.TurnResultChunk{delta(ev.Delta)}
	case ev.Stop != nil:
		return []*tightbeampb.TurnResultChunk{{BlockIndex: int32(ev.Stop.Index),
			Chunk: &tightbeampb.TurnResultChunk_BlockStop{BlockStop: &tightbeampb.BlockStop{}}}}
	case ev.Usage != nil:
		return []*tightbeampb.TurnResultChunk{{Chunk: &tightbeampb.TurnResultChunk_Usage{Usage: usage(*ev.Usage)}}}
	}
	return nil
}

func delta(d *provider.BlockDelta) *tightbeampb.TurnResultChunk {
	c := &tightbeampb.TurnResultChunk{BlockIndex: int32(d.Index)}
	switch d.Kind {
	case provider.KindThinking:
		c.Chunk = &tightbeampb.TurnResultChunk_ThinkingDelta{ThinkingDelta: &tightbeampb.ThinkingDelta{Text: d.Text}}
	case provider.KindToolUse:
		c.Chunk = &tightbeampb.TurnResultChunk_ToolUseInput{ToolUseInput: &tightbeampb.ToolUseInput{PartialJson: d.Text}}
	default:
		c.Chunk = &tightbeampb.TurnResultChunk_ContentDelta{ContentDelta: &tightbeampb.ContentDelta{Text: d.Text}}
	}
	return c
}

func usage(u provider.Usage) *tightbeampb.Usage {
	return &tightbeampb.Usage{
		InputTokens:      u.InputTokens,
		OutputTokens:     u.OutputTokens,
		CacheReadTokens:  u.CacheReadTokens,
		CacheWriteTokens: u.CacheWriteTokens,
		ThinkingTokens:   u.ThinkingTokens,
	}
}

var stopReasons = map[provider.StopReason]tightbeampb.StopReason{
	provider.StopEndTurn:         tightbeampb.StopReason_STOP_REASON_END_TURN,
	provider.StopToolUse:         tightbeampb.StopReason_STOP_REASON_TOOL_USE,
	provider.StopMaxTokens:       tightbeampb.StopReason_STOP_REASON_MAX_TOKENS,
	provider.StopSequence:        tightbeampb.StopReason_STOP_REASON_STOP_SEQUENCE,
	provider.StopRefusal:         tightbeampb.StopReason_STOP_REASON_REFUSAL,
	provider.StopContextExceeded: tightbeampb.StopReason_STOP_REASON_CONTEXT_EXCEEDED,
	provider.StopPaused:          tightbeampb.StopReason_STOP_REASON_PAUSED,
	provider.StopContentFilter:   tightbeampb.StopReason_STOP_REASON_CONTENT_FILTER,
	provider.StopOther:           tightbeampb.StopReason_STOP_REASON_OTHER,
}

func complete(r *provider.Result) *tightbeampb.TurnResultChunk {
	tc := &tightbeampb.TurnComplete{
		StopReason:    stopReasons[r.StopReason],
		RawStopReason: r.RawStopReason,
		Usage:         usage(r.Usage),
		RequestId:     r.RequestID,
	}
	for _, b := range r.Content {
		cb := &tightbeampb.ContentBlock{}
		switch b.Kind {
		case provider.KindText:
			cb.Block = &tightbeampb.ContentBlock_Text{Text: &tightbeampb.TextBlock{Text: b.Text}}
		case provider.KindThinking:
			cb.Block = &tightbeampb.ContentBlock_Thinking{Thinking: &tightbeampb.ThinkingBlock{Text: b.Text}}
		case provider.KindImage:
			cb.Block = &tightbeampb.ContentBlock_Image{Image: &tightbeampb.ImageBlock{MediaType: b.Image.MediaType, Data: b.Image.Data}}
		case provider.KindNative:
			cb.Block = &tightbeampb.ContentBlock_Native{Native: &tightbeampb.NativeBlock{Provider: b.Native.Provider, Model: b.Native.Model, Data: b.Native.Data}}
		default:
			continue
		}
		tc.Content = append(tc.Content, cb)
	}
	for _, c := range r.ToolCalls {
		tc.ToolCalls = append(tc.ToolCalls, &tightbeampb.ToolCall{Id: c.ID, Name: c.Name, InputJson: c.Input})
	}
	return &tightbeampb.TurnResultChunk{Chunk: &tightbeampb.TurnResultChunk_Complete{Complete: tc}}
}

var errorClasses = map[provider.Class]tightbeampb.ErrorClass{
	provider.Overloaded:     tightbeampb.ErrorClass_ERROR_CLASS_OVERLOADED,
	provider.RateLimited:    tightbeampb.ErrorClass_ERROR_CLASS_RATE_LIMITED,
	provider.QuotaExhausted: tightbeampb.ErrorClass_ERROR_CLASS_QUOTA_EXHAUSTED,
	provider.Auth:           tightbeampb.ErrorClass_ERROR_CLASS_AUTH,
	provider.InvalidRequest: tightbeampb.ErrorClass_ERROR_CLASS_INVALID_REQUEST,
	provider.ContextTooLong: tightbeampb.ErrorClass_ERROR_CLASS_CONTEXT_TOO_LONG,
	provider.Timeout:        tightbeampb.ErrorClass_ERROR_CLASS_TIMEOUT,
	provider.Truncated:      tightbeampb.ErrorClass_ERROR_CLASS_TRUNCATED,
	provider.Network:        tightbeampb.ErrorClass_ERROR_CLASS_NETWORK,
	provider.Internal:       tightbeampb.ErrorClass_ERROR_CLASS_INTERNAL,
}

func failure(e *provider.Error) *tightbeampb.TurnResultChunk {
	class, ok := errorClasses[e.Class]
	if !ok {
		class = tightbeampb.ErrorClass_ERROR_CLASS_INTERNAL
	}
	return &tightbeampb.TurnResultChunk{Chunk: &tightbeampb.TurnResultChunk_Error{Error: &tightbeampb.TurnError{
		Code: int32(e.Code), Message: e.Message, Class: class,
		RetryAfterMillis: e.RetryAfter.Milliseconds(), RequestId: e.RequestID,
	}}}
}
