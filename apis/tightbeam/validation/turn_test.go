// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

const (
	png  = "\x89PNG\r\n\x1a\n...."
	jpeg = "\xff\xd8\xff\xe0...."
	gif  = "GIF89a...."
	webp = "RIFF\x00\x00\x00\x00WEBPVP8 "
)

func text(s string) []v1.ContentBlock { return []v1.ContentBlock{{Text: &s}} }

func picture(mediaType, data string) v1.ContentBlock {
	return v1.ContentBlock{Image: &v1.ImageBlock{MediaType: mediaType, Data: []byte(data)}}
}

// question is a turn with a message of every role: 0 system, 1 user, 2
// assistant with a call, 3 the tool's result.
func question() *v1.Turn {
	return served(&v1.Turn{
		ObjectMeta: meta("question-1"),
		Spec: v1.TurnSpec{
			Conversation: "chat",
			Messages: []v1.Message{
				{Role: v1.RoleSystem, Content: text("be brief")},
				{Role: v1.RoleUser, Content: []v1.ContentBlock{
					{Text: ptr.To("what is this?")},
					picture("image/png", png), picture("image/jpeg", jpeg), picture("image/gif", gif), picture("image/webp", webp),
				}},
				{Role: v1.RoleAssistant, Agent: "seer", Content: []v1.ContentBlock{
					{Thinking: ptr.To("hm")},
					{Native: &v1.NativeBlock{Provider: v1.ProviderAnthropic, Model: "claude", Data: []byte(`{"type":"thinking"}`)}},
				}, ToolCalls: []v1.ToolCall{{ID: "call_1", Name: "look", Input: raw(`{"closer": true}`)}}},
				{Role: v1.RoleTool, ToolCallID: "call_1", IsError: true, Content: text("")},
			},
			Agent:          "seer",
			System:         ptr.To(""),
			Tools:          []v1.Tool{{Name: "look"}},
			ToolChoice:     "look",
			Temperature:    ptr.To(0.0),
			Thinking:       &v1.Thinking{Effort: "high"},
			ResponseSchema: raw(`{"type": "object"}`),
		},
	})
}

func TestTurnRefuses(t *testing.T) {
	t.Parallel()
	checktest.Refuses(t, question, Turn,
		checktest.By("no conversation", func(t *v1.Turn) { t.Spec.Conversation = "" }, field.ErrorTypeRequired, "spec.conversation", "Conversation"),
		checktest.By("an agent that breaks out of its brackets", func(t *v1.Turn) { t.Spec.Agent = "a]\n[b" }, field.ErrorTypeInvalid, "spec.agent", "alphanumeric"),
		checktest.By("a model that is no name", func(t *v1.Turn) { t.Spec.Model = "Claude" }, field.ErrorTypeInvalid, "spec.model", "lowercase"),
		checktest.By("a choice among its tools that is none of them", func(t *v1.Turn) { t.Spec.ToolChoice = "listen" }, field.ErrorTypeNotSupported, "spec.toolChoice", `"auto", "any", "none", "look"`),
		checktest.By("a choice that names no tool", func(t *v1.Turn) { t.Spec.ToolChoice = "a tool"; t.Spec.Tools = nil }, field.ErrorTypeInvalid, "spec.toolChoice", "letters, digits"),
		checktest.By("no tokens", func(t *v1.Turn) { t.Spec.MaxTokens = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.maxTokens", "from 1"),
		checktest.By("a temperature below zero", func(t *v1.Turn) { t.Spec.Temperature = ptr.To(-0.1) }, field.ErrorTypeInvalid, "spec.temperature", "from 0 to 2"),
		checktest.By("a temperature that is no number", func(t *v1.Turn) { t.Spec.Temperature = ptr.To(math.NaN()) }, field.ErrorTypeInvalid, "spec.temperature", "from 0 to 2"),
		checktest.By("thinking with two measures", func(t *v1.Turn) { t.Spec.Thinking.BudgetTokens = ptr.To[int32](1) }, field.ErrorTypeForbidden, "spec.thinking", "keep one"),
		checktest.By("a schema that is no object", func(t *v1.Turn) { t.Spec.ResponseSchema = raw(`true`) }, field.ErrorTypeInvalid, "spec.responseSchema", "JSON object"),
		checktest.By("a deadline of nothing", func(t *v1.Turn) { t.Spec.DeadlineSeconds = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.deadlineSeconds", "from 1 to 86400"),
		checktest.By("a deadline after days", func(t *v1.Turn) { t.Spec.DeadlineSeconds = ptr.To[int32](86401) }, field.ErrorTypeInvalid, "spec.deadlineSeconds", "from 1 to 86400"),
		checktest.By("a time to live that is over", func(t *v1.Turn) { t.Spec.TTLSecondsAfterFinished = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.ttlSecondsAfterFinished", "from 0"),

		checktest.By("a message of nobody", func(t *v1.Turn) { t.Spec.Messages[0].Role = "" }, field.ErrorTypeRequired, "spec.messages[0].role", `"user", "assistant"`),
		checktest.By("a message of a stranger", func(t *v1.Turn) { t.Spec.Messages[0].Role = "developer" }, field.ErrorTypeNotSupported, "spec.messages[0].role", `"user", "assistant", "tool", "system"`),
		checktest.By("an empty message", func(t *v1.Turn) { t.Spec.Messages[1].Content = nil }, field.ErrorTypeRequired, "spec.messages[1].content", "add a block"),
		checktest.By("an assistant that says and does nothing", func(t *v1.Turn) { t.Spec.Messages[2].Content, t.Spec.Messages[2].ToolCalls = nil, nil }, field.ErrorTypeRequired, "spec.messages[2].content", "content or toolCalls"),
		checktest.By("an empty text", func(t *v1.Turn) { t.Spec.Messages[1].Content[0] = v1.ContentBlock{Text: ptr.To("")} }, field.ErrorTypeRequired, "spec.messages[1].content[0].text", "leave the block out"),
		checktest.By("a block of nothing", func(t *v1.Turn) { t.Spec.Messages[1].Content[0] = v1.ContentBlock{} }, field.ErrorTypeInvalid, "spec.messages[1].content[0]", "exactly one"),
		checktest.By("a block of two things", func(t *v1.Turn) { t.Spec.Messages[1].Content[1].Text = ptr.To("a") }, field.ErrorTypeInvalid, "spec.messages[1].content[1]", "exactly one"),
		checktest.By("a user that thinks", func(t *v1.Turn) { t.Spec.Messages[1].Content[0] = v1.ContentBlock{Thinking: ptr.To("a")} }, field.ErrorTypeForbidden, "spec.messages[1].content[0].thinking", "role assistant"),
		checktest.By("a user with a provider's block", func(t *v1.Turn) { t.Spec.Messages[1].Content[0] = t.Spec.Messages[2].Content[1] }, field.ErrorTypeForbidden, "spec.messages[1].content[0].native", "role assistant"),
		checktest.By("an assistant that shows", func(t *v1.Turn) { t.Spec.Messages[2].Content[0] = picture("image/png", png) }, field.ErrorTypeForbidden, "spec.messages[2].content[0].image", "roles user and tool"),

		checktest.By("a picture of no type", func(t *v1.Turn) { t.Spec.Messages[1].Content[1].Image.MediaType = "" }, field.ErrorTypeRequired, "spec.messages[1].content[1].image.mediaType", "image/webp"),
		checktest.By("a picture of an unknown type", func(t *v1.Turn) { t.Spec.Messages[1].Content[1].Image.MediaType = "image/tiff" }, field.ErrorTypeNotSupported, "spec.messages[1].content[1].image.mediaType", "image/webp"),
		checktest.By("a picture of another type", func(t *v1.Turn) { t.Spec.Messages[1].Content[1].Image.Data = []byte(jpeg) }, field.ErrorTypeInvalid, "spec.messages[1].content[1].image.mediaType", "is of type image/jpeg"),
		checktest.By("a picture that is none", func(t *v1.Turn) { t.Spec.Messages[1].Content[1].Image.Data = []byte("%PDF-1.4") }, field.ErrorTypeInvalid, "spec.messages[1].content[1].image.data", "no image/png"),
		checktest.By("a picture without data", func(t *v1.Turn) { t.Spec.Messages[1].Content[1].Image.Data = nil }, field.ErrorTypeRequired, "spec.messages[1].content[1].image.data", "base64"),

		checktest.By("a block of an unknown provider", func(t *v1.Turn) { t.Spec.Messages[2].Content[1].Native.Provider = "acme" }, field.ErrorTypeNotSupported, "spec.messages[2].content[1].native.provider", `"anthropic"`),
		checktest.By("a provider's block without data", func(t *v1.Turn) { t.Spec.Messages[2].Content[1].Native.Data = nil }, field.ErrorTypeRequired, "spec.messages[2].content[1].native.data", "as the provider sent it"),
		checktest.By("a provider's block that is no JSON", func(t *v1.Turn) { t.Spec.Messages[2].Content[1].Native.Data = []byte("{") }, field.ErrorTypeInvalid, "spec.messages[2].content[1].native.data", "must be JSON"),

		checktest.By("calls by a user", func(t *v1.Turn) {
			t.Spec.Messages[1].ToolCalls = []v1.ToolCall{{ID: "call_0", Name: "look"}}
		}, field.ErrorTypeForbidden, "spec.messages[1].toolCalls", "role assistant"),
		checktest.By("a result by a user", func(t *v1.Turn) { t.Spec.Messages[1].ToolCallID = "call_0" }, field.ErrorTypeForbidden, "spec.messages[1].toolCallID", "role tool"),
		checktest.By("a failure of a user", func(t *v1.Turn) { t.Spec.Messages[1].IsError = true }, field.ErrorTypeForbidden, "spec.messages[1].isError", "role tool"),
		checktest.By("a result of nothing", func(t *v1.Turn) { t.Spec.Messages[3].ToolCallID = "" }, field.ErrorTypeRequired, "spec.messages[3].toolCallID", "ties a result to its call"),
		checktest.By("two results of a call", func(t *v1.Turn) { t.Spec.Messages = append(t.Spec.Messages, t.Spec.Messages[3]) }, field.ErrorTypeInvalid, "spec.messages[4].toolCallID", "by message 3 already"),
		checktest.By("a result before its call", func(t *v1.Turn) {
			m := t.Spec.Messages
			m[2], m[3] = m[3], m[2]
		}, field.ErrorTypeInvalid, "spec.messages[2].toolCallID", "before its call in message 3"),
		checktest.By("a call without id", func(t *v1.Turn) { t.Spec.Messages[2].ToolCalls[0].ID = "" }, field.ErrorTypeRequired, "spec.messages[2].toolCalls[0].id", "ties a result to its call"),
		checktest.By("a call of no tool", func(t *v1.Turn) { t.Spec.Messages[2].ToolCalls[0].Name = "" }, field.ErrorTypeRequired, "spec.messages[2].toolCalls[0].name", "name of the tool"),
		checktest.By("a call with a list", func(t *v1.Turn) { t.Spec.Messages[2].ToolCalls[0].Input = raw(`[]`) }, field.ErrorTypeInvalid, "spec.messages[2].toolCalls[0].input", "JSON object"),
		checktest.By("a call with a maze", func(t *v1.Turn) {
			t.Spec.Messages[2].ToolCalls[0].Input = raw(`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`)
		}, field.ErrorTypeInvalid, "spec.messages[2].toolCalls[0].input", "nested 101 deep: must be at most 100"),
		checktest.By("a call twice", func(t *v1.Turn) {
			t.Spec.Messages[2].ToolCalls = append(t.Spec.Messages[2].ToolCalls, t.Spec.Messages[2].ToolCalls[0])
		}, field.ErrorTypeDuplicate, "spec.messages[2].toolCalls[1].id", "call_1"),
		checktest.By("an agent that is no name", func(t *v1.Turn) { t.Spec.Messages[2].Agent = "se er" }, field.ErrorTypeInvalid, "spec.messages[2].agent", "alphanumeric"),
	)
}

func TestTurnAllowsWhatOnlyTheHistoryDecides(t *testing.T) {
	t.Parallel()
	for name, messages := range map[string][]v1.Message{
		"no messages":                             nil,
		"a result whose call is not in the turn":  {{Role: v1.RoleTool, ToolCallID: "call_9", Content: text("ok")}},
		"a result that is empty":                  {{Role: v1.RoleTool, ToolCallID: "call_9"}},
		"calls without input":                     {{Role: v1.RoleAssistant, ToolCalls: []v1.ToolCall{{ID: "a", Name: "now"}}}},
		"a choice that the conversation may have": {{Role: v1.RoleUser, Content: text("hi")}},
	} {
		turn := question()
		turn.Spec.Messages, turn.Spec.Tools = messages, nil
		if errs := Turn(turn); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestTurnSpecCannotChange(t *testing.T) {
	t.Parallel()
	stored := func() *v1.Turn { q := question(); q.ResourceVersion = "7"; return q }
	checktest.Refuses(t, stored, func(turn *v1.Turn) field.ErrorList { return TurnUpdate(turn, stored()) },
		checktest.By("another message", func(t *v1.Turn) { *t.Spec.Messages[1].Content[0].Text = "?" }, field.ErrorTypeForbidden, "spec.messages", "create another"),
		checktest.By("another input of a call", func(t *v1.Turn) { t.Spec.Messages[2].ToolCalls[0].Input = raw(`{"closer": false}`) }, field.ErrorTypeForbidden, "spec.messages", "create another"),
		checktest.By("a longer deadline", func(t *v1.Turn) { t.Spec.DeadlineSeconds = ptr.To[int32](601) }, field.ErrorTypeForbidden, "spec.deadlineSeconds", "create another"),
	)
}

func TestTurnUpdateKeepsWhatIsOnlyWrittenOtherwise(t *testing.T) {
	t.Parallel()
	old := question()
	old.ResourceVersion = "7"
	changed := old.DeepCopy()
	changed.Labels = map[string]string{"a": "b"}
	changed.Spec.Messages[2].ToolCalls[0].Input = raw("{\n  \"closer\" : true }")
	if errs := TurnUpdate(changed, old); len(errs) > 0 {
		t.Error(errs)
	}
}

func finished() *v1.Turn {
	turn := question()
	turn.ResourceVersion = "7"
	turn.Status = v1.TurnStatus{
		Phase: v1.TurnSucceeded, Position: 3, ConversationUID: "uid", StopReason: v1.StopEndTurn,
		Message: &v1.Message{Role: v1.RoleAssistant, Content: text("an eye")}, LastEvent: 9,
		CompletionTime: &metav1.MicroTime{Time: time.Unix(1700000000, 0)},
	}
	return turn
}

func TestTerminalPhaseIsNeverLeft(t *testing.T) {
	t.Parallel()
	checktest.Refuses(t, finished, func(turn *v1.Turn) field.ErrorList { return TurnStatusUpdate(turn, finished()) },
		checktest.By("for another end", func(t *v1.Turn) { t.Status.Phase = v1.TurnCancelled }, field.ErrorTypeForbidden, "status.phase", "the turn is Succeeded"),
		checktest.By("with another answer", func(t *v1.Turn) { *t.Status.Message.Content[0].Text = "an ear" }, field.ErrorTypeForbidden, "status.message", "the turn is Succeeded"),
		checktest.By("with another reason", func(t *v1.Turn) { t.Status.StopReason = v1.StopRefusal }, field.ErrorTypeForbidden, "status.stopReason", "the turn is Succeeded"),
		checktest.By("with an error", func(t *v1.Turn) { t.Status.Error = &v1.TurnError{Class: v1.ErrorAuth} }, field.ErrorTypeForbidden, "status.error", "the turn is Succeeded"),
		checktest.By("with more events", func(t *v1.Turn) { t.Status.LastEvent++ }, field.ErrorTypeForbidden, "status.lastEvent", "the turn is Succeeded"),
		checktest.By("at another place", func(t *v1.Turn) { t.Status.Position = 4 }, field.ErrorTypeInvalid, "status.position", "immutable"),
		checktest.By("in another conversation", func(t *v1.Turn) { t.Status.ConversationUID = "other" }, field.ErrorTypeInvalid, "status.conversationUID", "immutable"),
	)
	t.Run("to run again", func(t *testing.T) {
		t.Parallel()
		turn := finished()
		turn.Status.Phase, turn.Status.CompletionTime = v1.TurnRunning, nil
		if errs := TurnStatusUpdate(turn, finished()); len(errs) != 2 {
			t.Errorf("got %v, want phase and completionTime to be refused", errs)
		}
	})
}

func TestTurnStatusUpdateRefuses(t *testing.T) {
	t.Parallel()
	running := func() *v1.Turn {
		turn := question()
		turn.ResourceVersion, turn.Status = "7", v1.TurnStatus{Phase: v1.TurnRunning, Position: 3}
		return turn
	}
	checktest.Refuses(t, running, func(turn *v1.Turn) field.ErrorList { return TurnStatusUpdate(turn, running()) },
		checktest.By("no phase", func(t *v1.Turn) { t.Status.Phase = "" }, field.ErrorTypeRequired, "status.phase", `"Queued", "Running"`),
		checktest.By("an unknown phase", func(t *v1.Turn) { t.Status.Phase = "Done" }, field.ErrorTypeNotSupported, "status.phase", `"Cancelled"`),
		checktest.By("an end without its time", func(t *v1.Turn) { t.Status.Phase = v1.TurnCancelled }, field.ErrorTypeRequired, "status.completionTime", "since when"),
		checktest.By("a time of an end that is not", func(t *v1.Turn) { t.Status.CompletionTime = ptr.To(metav1.NowMicro()) }, field.ErrorTypeForbidden, "status.completionTime", "not over"),
		checktest.By("a failure without a reason", func(t *v1.Turn) {
			t.Status.Phase, t.Status.CompletionTime = v1.TurnFailed, ptr.To(metav1.NowMicro())
		}, field.ErrorTypeRequired, "status.error", "says why"),
		checktest.By("an unknown reason to stop", func(t *v1.Turn) { t.Status.StopReason = "Bored" }, field.ErrorTypeNotSupported, "status.stopReason", `"EndTurn"`),
	)
	t.Run("but not a requeue", func(t *testing.T) {
		t.Parallel()
		turn := running()
		turn.Status.Phase = v1.TurnQueued
		if errs := TurnStatusUpdate(turn, running()); len(errs) > 0 {
			t.Error(errs)
		}
	})
}
