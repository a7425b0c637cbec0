// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/apis/tightbeam/validation"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// MessageToProto turns a message of the API into one of the wire.
func MessageToProto(m *tightbeamv1.Message) *pb.Message {
	out := &pb.Message{Role: string(m.Role)}
	for i := range m.Content {
		out.Content = append(out.Content, blockToProto(&m.Content[i]))
	}
	for _, call := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, &pb.ToolCall{Id: call.ID, Name: call.Name, InputJson: rawJSON(call.Input)})
	}
	if m.ToolCallID != "" {
		out.ToolCallId = &m.ToolCallID
	}
	if m.IsError {
		out.IsError = ptr.To(true)
	}
	if m.Agent != "" {
		out.Agent = &m.Agent
	}
	return out
}

func blockToProto(b *tightbeamv1.ContentBlock) *pb.ContentBlock {
	switch {
	case b.Image != nil:
		return &pb.ContentBlock{Block: &pb.ContentBlock_Image{Image: &pb.ImageBlock{MediaType: b.Image.MediaType, Data: b.Image.Data}}}
	case b.Thinking != nil:
		return &pb.ContentBlock{Block: &pb.ContentBlock_Thinking{Thinking: &pb.ThinkingBlock{Text: *b.Thinking}}}
	case b.Native != nil:
		return &pb.ContentBlock{Block: &pb.ContentBlock_Native{Native: &pb.NativeBlock{Provider: string(b.Native.Provider), Model: b.Native.Model, Data: b.Native.Data}}}
	default:
		return &pb.ContentBlock{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: ptr.Deref(b.Text, "")}}}
	}
}

// MessageFromProto turns a message of the wire into one of the API. Whether it
// makes sense is for validation; only JSON that is none is refused here, since
// the API could not carry it.
func MessageFromProto(m *pb.Message) (tightbeamv1.Message, error) {
	out := tightbeamv1.Message{
		Role: tightbeamv1.Role(m.GetRole()), ToolCallID: m.GetToolCallId(), IsError: m.GetIsError(), Agent: m.GetAgent(),
	}
	out.Content = contentFromProto(m.GetContent())
	calls, err := toolCallsFromProto(m.GetToolCalls())
	out.ToolCalls = calls
	return out, err
}

func contentFromProto(in []*pb.ContentBlock) []tightbeamv1.ContentBlock {
	var out []tightbeamv1.ContentBlock
	for _, block := range in {
		switch b := block.GetBlock().(type) {
		case *pb.ContentBlock_Text:
			out = append(out, tightbeamv1.ContentBlock{Text: ptr.To(b.Text.GetText())})
		case *pb.ContentBlock_Image:
			out = append(out, tightbeamv1.ContentBlock{Image: &tightbeamv1.ImageBlock{MediaType: b.Image.GetMediaType(), Data: b.Image.GetData()}})
		case *pb.ContentBlock_Thinking:
			out = append(out, tightbeamv1.ContentBlock{Thinking: ptr.To(b.Thinking.GetText())})
		case *pb.ContentBlock_Native:
			out = append(out, tightbeamv1.ContentBlock{Native: &tightbeamv1.NativeBlock{
				Provider: tightbeamv1.Provider(b.Native.GetProvider()), Model: b.Native.GetModel(), Data: b.Native.GetData(),
			}})
		}
	}
	return out
}

func toolCallsFromProto(in []*pb.ToolCall) ([]tightbeamv1.ToolCall, error) {
	var out []tightbeamv1.ToolCall
	for _, call := range in {
		input, err := RawFromJSON(call.GetInputJson(), true)
		if err != nil {
			return nil, fmt.Errorf("the input of tool call %q (%s): %w", call.GetId(), call.GetName(), err)
		}
		out = append(out, tightbeamv1.ToolCall{ID: call.GetId(), Name: call.GetName(), Input: input})
	}
	return out, nil
}

// RawFromJSON returns a JSON object that came as a string, such as the API takes.
// An empty string is none, or, with emptyObject, {}.
func RawFromJSON(text string, emptyObject bool) (*runtime.RawExtension, error) {
	if text == "" {
		if !emptyObject {
			return nil, nil
		}
		text = "{}"
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		return nil, fmt.Errorf("must be a JSON object: %.60q", text)
	}
	if err := validation.Depth([]byte(text)); err != nil {
		return nil, err
	}
	return &runtime.RawExtension{Raw: []byte(text)}, nil
}

func usageFromProto(u *pb.Usage) *tightbeamv1.Usage {
	if u == nil {
		return nil
	}
	return &tightbeamv1.Usage{
		InputTokens: u.GetInputTokens(), OutputTokens: u.GetOutputTokens(),
		CacheReadTokens: u.GetCacheReadTokens(), CacheWriteTokens: u.GetCacheWriteTokens(),
	}
}

func usageToProto(u *tightbeamv1.Usage) *pb.Usage {
	if u == nil {
		return nil
	}
	return &pb.Usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens,
		CacheReadTokens: u.CacheReadTokens, CacheWriteTokens: u.CacheWriteTokens,
	}
}

var stopReasons = map[pb.StopReason]tightbeamv1.StopReason{
	pb.StopReason_STOP_REASON_END_TURN:         tightbeamv1.StopEndTurn,
	pb.StopReason_STOP_REASON_TOOL_USE:         tightbeamv1.StopToolUse,
	pb.StopReason_STOP_REASON_MAX_TOKENS:       tightbeamv1.StopMaxTokens,
	pb.StopReason_STOP_REASON_STOP_SEQUENCE:    tightbeamv1.StopStopSequence,
	pb.StopReason_STOP_REASON_REFUSAL:          tightbeamv1.StopRefusal,
	pb.StopReason_STOP_REASON_CONTEXT_EXCEEDED: tightbeamv1.StopContextExceeded,
	pb.StopReason_STOP_REASON_PAUSED:           tightbeamv1.StopPaused,
	pb.StopReason_STOP_REASON_CONTENT_FILTER:   tightbeamv1.StopContentFilter,
	pb.StopReason_STOP_REASON_OTHER:            tightbeamv1.StopOther,
}

var errorClasses = map[pb.ErrorClass]tightbeamv1.ErrorClass{
	pb.ErrorClass_ERROR_CLASS_OVERLOADED:       tightbeamv1.ErrorOverloaded,
	pb.ErrorClass_ERROR_CLASS_RATE_LIMITED:     tightbeamv1.ErrorRateLimited,
	pb.ErrorClass_ERROR_CLASS_QUOTA_EXHAUSTED:  tightbeamv1.ErrorQuotaExhausted,
	pb.ErrorClass_ERROR_CLASS_AUTH:             tightbeamv1.ErrorAuth,
	pb.ErrorClass_ERROR_CLASS_INVALID_REQUEST:  tightbeamv1.ErrorInvalidRequest,
	pb.ErrorClass_ERROR_CLASS_CONTEXT_TOO_LONG: tightbeamv1.ErrorContextTooLong,
	pb.ErrorClass_ERROR_CLASS_TIMEOUT:          tightbeamv1.ErrorTimeout,
	pb.ErrorClass_ERROR_CLASS_TRUNCATED:        tightbeamv1.ErrorTruncated,
	pb.ErrorClass_ERROR_CLASS_NETWORK:          tightbeamv1.ErrorNetwork,
	pb.ErrorClass_ERROR_CLASS_INTERNAL:         tightbeamv1.ErrorInternal,
}

// stopReasonFromProto maps what no entry knows to Other: a job newer than the
// server may have learnt a reason.
func stopReasonFromProto(r pb.StopReason) tightbeamv1.StopReason {
	if reason, ok := stopReasons[r]; ok {
		return reason
	}
	return tightbeamv1.StopOther
}

func stopReasonToProto(r tightbeamv1.StopReason) pb.StopReason {
	for wire, reason := range stopReasons {
		if reason == r {
			return wire
		}
	}
	return pb.StopReason_STOP_REASON_OTHER
}

func errorClassFromProto(c pb.ErrorClass) tightbeamv1.ErrorClass {
	if class, ok := errorClasses[c]; ok {
		return class
	}
	return tightbeamv1.ErrorInternal
}

func errorClassToProto(c tightbeamv1.ErrorClass) pb.ErrorClass {
	for wire, class := range errorClasses {
		if class == c {
			return wire
		}
	}
	return pb.ErrorClass_ERROR_CLASS_INTERNAL
}

// EventToProto turns an event of the stream into one of the wire.
func EventToProto(encoded Event) (*pb.TurnEvent, error) {
	event, err := decodeEvent(encoded)
	if err != nil {
		return nil, err
	}
	out := &pb.TurnEvent{Number: event.Number, TimeUnixNanos: event.Time.UnixNano(), BlockIndex: ptr.Deref(event.Index, 0)}
	switch event.Type {
	case tightbeamv1.TurnEventStarted:
		out.Event = &pb.TurnEvent_Started{Started: &pb.TurnStarted{Attempt: event.Attempt, Model: event.Model}}
	case tightbeamv1.TurnEventBlockStarted:
		if event.Kind == tightbeamv1.BlockToolUse {
			out.Event = &pb.TurnEvent_ToolUseStart{ToolUseStart: &pb.ToolUseStart{Id: event.ToolCallID, Name: event.ToolName}}
		} else {
			out.Event = &pb.TurnEvent_BlockStart{BlockStart: &pb.BlockStart{Kind: string(event.Kind)}}
		}
	case tightbeamv1.TurnEventBlockDelta:
		switch {
		case event.JSON != "":
			out.Event = &pb.TurnEvent_ToolUseInput{ToolUseInput: &pb.ToolUseInput{PartialJson: event.JSON}}
		case event.Thinking != "":
			out.Event = &pb.TurnEvent_ThinkingDelta{ThinkingDelta: &pb.ThinkingDelta{Text: event.Thinking}}
		default:
			out.Event = &pb.TurnEvent_ContentDelta{ContentDelta: &pb.ContentDelta{Text: event.Text}}
		}
	case tightbeamv1.TurnEventBlockStopped:
		out.Event = &pb.TurnEvent_BlockStop{BlockStop: &pb.BlockStop{}}
	case tightbeamv1.TurnEventUsage:
		out.Event = &pb.TurnEvent_Usage{Usage: usageToProto(event.Usage)}
	case tightbeamv1.TurnEventAttemptFailed:
		failed := &pb.AttemptFailed{WillRetry: ptr.Deref(event.WillRetry, false)}
		if event.Error != nil {
			failed.Class, failed.Message = errorClassToProto(event.Error.Class), event.Error.Message
		}
		out.Event = &pb.TurnEvent_AttemptFailed{AttemptFailed: failed}
	case tightbeamv1.TurnEventResumed:
		out.Event = &pb.TurnEvent_Resumed{Resumed: &pb.TurnResumed{LostFrom: event.LostFrom, LostTo: event.LostTo}}
	case tightbeamv1.TurnEventCompleted:
		complete := &pb.TurnComplete{StopReason: stopReasonToProto(event.StopReason), Usage: usageToProto(event.Usage)}
		if event.Message != nil {
			message := MessageToProto(event.Message)
			complete.Content, complete.ToolCalls = message.Content, message.ToolCalls
		}
		out.Event = &pb.TurnEvent_Complete{Complete: complete}
	case tightbeamv1.TurnEventFailed:
		failed := &pb.TurnError{}
		if event.Error != nil {
			failed.Class, failed.Message, failed.RequestId = errorClassToProto(event.Error.Class), event.Error.Message, event.Error.RequestID
		}
		out.Event = &pb.TurnEvent_Error{Error: failed}
	case tightbeamv1.TurnEventCancelled:
		out.Event = &pb.TurnEvent_Cancelled{Cancelled: &pb.TurnCancelled{Reason: event.Reason}}
	default:
		return nil, fmt.Errorf("event %d has the type %q, which the wire does not know", event.Number, event.Type)
	}
	return out, nil
}
