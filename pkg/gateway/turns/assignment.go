// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal/messages"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

const defaultMaxTokens = 8192

// assignment is what a job is sent to run a turn: the conversation's history
// with the turn's messages at its end, and the settings of turn, conversation
// and model, in that order of precedence.
func assignment(turn *tightbeamv1.Turn, conversation *tightbeamv1.Conversation, model *tightbeamv1.TightbeamModel, log []tightbeamv1.LogEntry, attempt int32, deadline time.Time) *pb.TurnAssignment {
	out := &pb.TurnAssignment{
		System:             system(turn, conversation),
		Messages:           nil,
		ModelConfig:        modelConfig(turn, model),
		TurnUid:            string(turn.UID),
		Attempt:            attempt,
		Namespace:          turn.Namespace,
		Turn:               turn.Name,
		Conversation:       conversation.Name,
		DeadlineUnixMillis: deadline.UnixMilli(),
	}
	tools := conversation.Spec.Tools
	if turn.Spec.Tools != nil {
		tools = turn.Spec.Tools
	}
	for _, tool := range tools {
		out.Tools = append(out.Tools, &pb.ToolDefinition{Name: tool.Name, Description: tool.Description, ParametersJson: rawJSON(tool.Parameters)})
	}
	maxMessages := 0
	if h := conversation.Spec.History; h != nil && h.MaxMessages != nil {
		maxMessages = int(*h.MaxMessages)
	}
	for _, entry := range messages.RenderWith(log, own(log, turn), maxMessages) {
		out.Messages = append(out.Messages, MessageToProto(&tightbeamv1.Message{
			Role: entry.Role, Content: entry.Content, ToolCalls: entry.ToolCalls,
			ToolCallID: entry.ToolCallID, IsError: entry.IsError, Agent: entry.Agent,
		}))
	}
	return out
}

// own are the turn's messages, none if an earlier attempt has put them into the
// log.
func own(log []tightbeamv1.LogEntry, turn *tightbeamv1.Turn) []tightbeamv1.LogEntry {
	if n := len(log); n > 0 && log[n-1].TurnUID == string(turn.UID) {
		return nil
	}
	own := make([]tightbeamv1.LogEntry, 0, len(turn.Spec.Messages))
	for i := range turn.Spec.Messages {
		entry := logEntry(&turn.Spec.Messages[i], metav1.MicroTime{})
		entry.TurnUID = string(turn.UID)
		own = append(own, entry)
	}
	return own
}

func system(turn *tightbeamv1.Turn, conversation *tightbeamv1.Conversation) *string {
	if turn.Spec.System != nil {
		return turn.Spec.System
	}
	if conversation.Spec.System != "" {
		return &conversation.Spec.System
	}
	return nil
}

// systemSHA256 identifies the system prompt in the log without repeating it.
func systemSHA256(system *string) string {
	if system == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(*system))
	return hex.EncodeToString(sum[:])
}

func modelConfig(turn *tightbeamv1.Turn, model *tightbeamv1.TightbeamModel) *pb.ModelConfig {
	config := &pb.ModelConfig{
		Provider:           string(model.Spec.Provider),
		Model:              model.Spec.Model,
		MaxTokens:          defaultMaxTokens,
		BaseUrl:            model.Spec.BaseURL,
		WireFormat:         string(model.Spec.WireFormat),
		ParametersJson:     rawJSON(model.Spec.Parameters),
		Temperature:        turn.Spec.Temperature,
		ResponseSchemaJson: rawJSON(turn.Spec.ResponseSchema),
		ToolChoice:         turn.Spec.ToolChoice,
	}
	if n := model.Spec.MaxTokens; n != nil {
		config.MaxTokens = uint32(*n)
	}
	if n := turn.Spec.MaxTokens; n != nil {
		config.MaxTokens = uint32(*n)
	}
	thinking := model.Spec.Thinking
	if turn.Spec.Thinking != nil {
		thinking = turn.Spec.Thinking
	}
	if thinking != nil {
		if thinking.BudgetTokens != nil {
			config.ThinkingBudgetTokens = uint32(*thinking.BudgetTokens)
		}
		config.ThinkingEffort = thinking.Effort
	}
	return config
}

func rawJSON(raw *runtime.RawExtension) string {
	if raw == nil {
		return ""
	}
	return string(raw.Raw)
}
