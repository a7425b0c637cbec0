// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func chat() *v1.Conversation {
	return served(&v1.Conversation{
		ObjectMeta: meta("chat.2026"),
		Spec: v1.ConversationSpec{
			Model:    "claude",
			Title:    "A chat",
			System:   "Be brief.\nBe kind.",
			Tools:    []v1.Tool{{Name: "read_file", Parameters: raw(`{"type": "object"}`)}, {Name: "now"}},
			ForkFrom: &v1.ForkFrom{Conversation: "older", AfterIndex: ptr.To[int64](3)},
			History:  &v1.History{MaxMessages: ptr.To[int32](100)},
		},
	})
}

func TestConversationRefuses(t *testing.T) {
	t.Parallel()
	for _, b := range []breach[v1.Conversation]{
		{"no model", func(c *v1.Conversation) { c.Spec.Model = "" }, field.ErrorTypeRequired, "spec.model", "TightbeamModel"},
		{"a model that is no name", func(c *v1.Conversation) { c.Spec.Model = "a/b" }, field.ErrorTypeInvalid, "spec.model", "lowercase"},
		{"a title of two lines", func(c *v1.Conversation) { c.Spec.Title = "a\nb" }, field.ErrorTypeInvalid, "spec.title", "one line"},
		{"NUL in the system prompt", func(c *v1.Conversation) { c.Spec.System = "a\x00b" }, field.ErrorTypeInvalid, "spec.system", "NUL"},
		{"a tool without name", func(c *v1.Conversation) { c.Spec.Tools[0].Name = "" }, field.ErrorTypeRequired, "spec.tools[0].name", "name of the tool"},
		{"a tool with a dot", func(c *v1.Conversation) { c.Spec.Tools[0].Name = "fs.read" }, field.ErrorTypeInvalid, "spec.tools[0].name", "letters, digits"},
		{"a tool that toolChoice could not name", func(c *v1.Conversation) { c.Spec.Tools[0].Name = "none" }, field.ErrorTypeInvalid, "spec.tools[0].name", "word of toolChoice"},
		{"a tool twice", func(c *v1.Conversation) { c.Spec.Tools[1].Name = "read_file" }, field.ErrorTypeDuplicate, "spec.tools[1].name", "read_file"},
		{"tool parameters that are no object", func(c *v1.Conversation) { c.Spec.Tools[0].Parameters = raw(`"string"`) }, field.ErrorTypeInvalid, "spec.tools[0].parameters", "JSON object"},
		{"tool parameters that describe no object", func(c *v1.Conversation) { c.Spec.Tools[0].Parameters = raw(`{"type":"array"}`) }, field.ErrorTypeInvalid, "spec.tools[0].parameters.type", `must be "object"`},
		{"too many tools", func(c *v1.Conversation) {
			for i := range 300 {
				c.Spec.Tools = append(c.Spec.Tools, v1.Tool{Name: "t" + strings.Repeat("x", i%60) + string(rune('a'+i/60))})
			}
		}, field.ErrorTypeTooMany, "spec.tools", "256"},
		{"an unknown policy", func(c *v1.Conversation) { c.Spec.ConcurrencyPolicy = "Replace" }, field.ErrorTypeNotSupported, "spec.concurrencyPolicy", `"Enqueue", "Reject", "Interrupt", "Rollback"`},
		{"a queue of less than nothing", func(c *v1.Conversation) { c.Spec.MaxQueuedTurns = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.maxQueuedTurns", "from 0"},
		{"a fork of nothing", func(c *v1.Conversation) { c.Spec.ForkFrom.Conversation = "" }, field.ErrorTypeRequired, "spec.forkFrom.conversation", "Conversation"},
		{"a fork of itself", func(c *v1.Conversation) { c.Spec.ForkFrom.Conversation = c.Name }, field.ErrorTypeInvalid, "spec.forkFrom.conversation", "itself"},
		{"a fork before the beginning", func(c *v1.Conversation) { c.Spec.ForkFrom.AfterIndex = ptr.To[int64](0) }, field.ErrorTypeInvalid, "spec.forkFrom.afterIndex", "from 1"},
		{"a history of nothing", func(c *v1.Conversation) { c.Spec.History.MaxMessages = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.history.maxMessages", "from 1"},
		{"a time to live that is over", func(c *v1.Conversation) { c.Spec.TTLSecondsAfterLastTurn = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.ttlSecondsAfterLastTurn", "from 0"},
	} {
		b.run(t, chat, Conversation)
	}
}

func TestConversationUpdateRefuses(t *testing.T) {
	t.Parallel()
	stored := func() *v1.Conversation { c := chat(); c.ResourceVersion = "7"; return c }
	for _, b := range []breach[v1.Conversation]{
		{"another origin", func(c *v1.Conversation) { c.Spec.ForkFrom.AfterIndex = ptr.To[int64](4) }, field.ErrorTypeForbidden, "spec.forkFrom", "create another"},
		{"an origin taken away", func(c *v1.Conversation) { c.Spec.ForkFrom = nil }, field.ErrorTypeForbidden, "spec.forkFrom", "create another"},
		{"what a new one is refused for", func(c *v1.Conversation) { c.Spec.Model = "" }, field.ErrorTypeRequired, "spec.model", ""},
	} {
		b.run(t, stored, func(c *v1.Conversation) field.ErrorList { return ConversationUpdate(c, stored()) })
	}
}

func TestConversationMayChangeItsModel(t *testing.T) {
	t.Parallel()
	old := chat()
	old.ResourceVersion = "7"
	changed := old.DeepCopy()
	changed.Spec.Model, changed.Spec.Title = "gpt", "Another"
	if errs := ConversationUpdate(changed, old); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestConversationStatusUpdateRefuses(t *testing.T) {
	t.Parallel()
	stored := func() *v1.Conversation {
		c := chat()
		c.ResourceVersion, c.Status = "7", v1.ConversationStatus{Phase: v1.ConversationActive, Turns: 3, Messages: 6}
		return c
	}
	for _, b := range []breach[v1.Conversation]{
		{"an unknown phase", func(c *v1.Conversation) { c.Status.Phase = "Busy" }, field.ErrorTypeNotSupported, "status.phase", `"Idle", "Active"`},
		{"a log that shrinks", func(c *v1.Conversation) { c.Status.Messages = 5 }, field.ErrorTypeInvalid, "status.messages", "append-only"},
		{"fewer than no turns", func(c *v1.Conversation) { c.Status.Turns = -1 }, field.ErrorTypeInvalid, "status.turns", "negative"},
	} {
		b.run(t, stored, func(c *v1.Conversation) field.ErrorList { return ConversationStatusUpdate(c, stored()) })
	}
}

func discord() *v1.TightbeamChannel {
	return served(&v1.TightbeamChannel{
		ObjectMeta: meta("discord-bot"),
		Spec: v1.TightbeamChannelSpec{
			Type: v1.ChannelTypeDiscord, SecretName: "discord-bot-token", TargetModel: "claude",
			AllowedSenders: []string{"1234", "5678"}, Agent: "helper",
		},
	})
}

func TestChannelRefuses(t *testing.T) {
	t.Parallel()
	for _, b := range []breach[v1.TightbeamChannel]{
		{"no type", func(c *v1.TightbeamChannel) { c.Spec.Type = "" }, field.ErrorTypeRequired, "spec.type", `"discord", "slack"`},
		{"an unknown type", func(c *v1.TightbeamChannel) { c.Spec.Type = "irc" }, field.ErrorTypeNotSupported, "spec.type", `"discord", "slack"`},
		{"no Secret", func(c *v1.TightbeamChannel) { c.Spec.SecretName = "" }, field.ErrorTypeRequired, "spec.secretName", "bot-token"},
		{"a target that is no name", func(c *v1.TightbeamChannel) { c.Spec.TargetModel = "Claude" }, field.ErrorTypeInvalid, "spec.targetModel", "lowercase"},
		{"an unknown scope", func(c *v1.TightbeamChannel) { c.Spec.Conversation.Scope = "Server" }, field.ErrorTypeNotSupported, "spec.conversation.scope", `"Thread", "Channel", "Sender"`},
		{"a sender twice", func(c *v1.TightbeamChannel) { c.Spec.AllowedSenders[1] = "1234" }, field.ErrorTypeDuplicate, "spec.allowedSenders[1]", "1234"},
		{"a sender without id", func(c *v1.TightbeamChannel) { c.Spec.AllowedSenders[1] = "" }, field.ErrorTypeRequired, "spec.allowedSenders[1]", "everybody"},
		{"everybody and somebody", func(c *v1.TightbeamChannel) { c.Spec.AllowedSenders[1] = "*" }, field.ErrorTypeInvalid, "spec.allowedSenders[1]", "leave them out"},
		{"an agent that breaks out of its brackets", func(c *v1.TightbeamChannel) { c.Spec.Agent = "a]: b" }, field.ErrorTypeInvalid, "spec.agent", "alphanumeric"},
	} {
		b.run(t, discord, Channel)
	}
}
