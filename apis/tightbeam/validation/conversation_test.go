// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
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
	checktest.Refuses(t, chat, Conversation,
		checktest.By("no model", func(c *v1.Conversation) { c.Spec.Model = "" }, field.ErrorTypeRequired, "spec.model", "TightbeamModel"),
		checktest.By("a model that is no name", func(c *v1.Conversation) { c.Spec.Model = "a/b" }, field.ErrorTypeInvalid, "spec.model", "lowercase"),
		checktest.By("a title of two lines", func(c *v1.Conversation) { c.Spec.Title = "a\nb" }, field.ErrorTypeInvalid, "spec.title", "one line"),
		checktest.By("NUL in the system prompt", func(c *v1.Conversation) { c.Spec.System = "a\x00b" }, field.ErrorTypeInvalid, "spec.system", "NUL"),
		checktest.By("a tool without name", func(c *v1.Conversation) { c.Spec.Tools[0].Name = "" }, field.ErrorTypeRequired, "spec.tools[0].name", "name of the tool"),
		checktest.By("a tool with a dot", func(c *v1.Conversation) { c.Spec.Tools[0].Name = "fs.read" }, field.ErrorTypeInvalid, "spec.tools[0].name", "letters, digits"),
		checktest.By("a tool that toolChoice could not name", func(c *v1.Conversation) { c.Spec.Tools[0].Name = "none" }, field.ErrorTypeInvalid, "spec.tools[0].name", "word of toolChoice"),
		checktest.By("a tool twice", func(c *v1.Conversation) { c.Spec.Tools[1].Name = "read_file" }, field.ErrorTypeDuplicate, "spec.tools[1].name", "read_file"),
		checktest.By("tool parameters that are no object", func(c *v1.Conversation) { c.Spec.Tools[0].Parameters = raw(`"string"`) }, field.ErrorTypeInvalid, "spec.tools[0].parameters", "JSON object"),
		checktest.By("tool parameters that describe no object", func(c *v1.Conversation) { c.Spec.Tools[0].Parameters = raw(`{"type":"array"}`) }, field.ErrorTypeInvalid, "spec.tools[0].parameters.type", `must be "object"`),
		checktest.By("too many tools", func(c *v1.Conversation) {
			for i := range 300 {
				c.Spec.Tools = append(c.Spec.Tools, v1.Tool{Name: "t" + strings.Repeat("x", i%60) + string(rune('a'+i/60))})
			}
		}, field.ErrorTypeTooMany, "spec.tools", "256"),
		checktest.By("an unknown policy", func(c *v1.Conversation) { c.Spec.ConcurrencyPolicy = "Replace" }, field.ErrorTypeNotSupported, "spec.concurrencyPolicy", `"Enqueue", "Reject", "Interrupt", "Rollback"`),
		checktest.By("a queue of less than nothing", func(c *v1.Conversation) { c.Spec.MaxQueuedTurns = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.maxQueuedTurns", "from 0"),
		checktest.By("a fork of nothing", func(c *v1.Conversation) { c.Spec.ForkFrom.Conversation = "" }, field.ErrorTypeRequired, "spec.forkFrom.conversation", "Conversation"),
		checktest.By("a fork of itself", func(c *v1.Conversation) { c.Spec.ForkFrom.Conversation = c.Name }, field.ErrorTypeInvalid, "spec.forkFrom.conversation", "itself"),
		checktest.By("a fork before the beginning", func(c *v1.Conversation) { c.Spec.ForkFrom.AfterIndex = ptr.To[int64](0) }, field.ErrorTypeInvalid, "spec.forkFrom.afterIndex", "from 1"),
		checktest.By("a history of nothing", func(c *v1.Conversation) { c.Spec.History.MaxMessages = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.history.maxMessages", "from 1"),
		checktest.By("a time to live that is over", func(c *v1.Conversation) { c.Spec.TTLSecondsAfterLastTurn = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.ttlSecondsAfterLastTurn", "from 0"),
	)
}

func TestConversationUpdateRefuses(t *testing.T) {
	t.Parallel()
	stored := func() *v1.Conversation { c := chat(); c.ResourceVersion = "7"; return c }
	checktest.Refuses(t, stored, func(c *v1.Conversation) field.ErrorList { return ConversationUpdate(c, stored()) },
		checktest.By("another origin", func(c *v1.Conversation) { c.Spec.ForkFrom.AfterIndex = ptr.To[int64](4) }, field.ErrorTypeForbidden, "spec.forkFrom", "create another"),
		checktest.By("an origin taken away", func(c *v1.Conversation) { c.Spec.ForkFrom = nil }, field.ErrorTypeForbidden, "spec.forkFrom", "create another"),
		checktest.By("what a new one is refused for", func(c *v1.Conversation) { c.Spec.Model = "" }, field.ErrorTypeRequired, "spec.model", ""),
	)
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
	checktest.Refuses(t, stored, func(c *v1.Conversation) field.ErrorList { return ConversationStatusUpdate(c, stored()) },
		checktest.By("an unknown phase", func(c *v1.Conversation) { c.Status.Phase = "Busy" }, field.ErrorTypeNotSupported, "status.phase", `"Idle", "Active"`),
		checktest.By("a log that shrinks", func(c *v1.Conversation) { c.Status.Messages = 5 }, field.ErrorTypeInvalid, "status.messages", "append-only"),
		checktest.By("fewer than no turns", func(c *v1.Conversation) { c.Status.Turns = -1 }, field.ErrorTypeInvalid, "status.turns", "negative"),
	)
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
	checktest.Refuses(t, discord, Channel,
		checktest.By("no type", func(c *v1.TightbeamChannel) { c.Spec.Type = "" }, field.ErrorTypeRequired, "spec.type", `"discord", "slack"`),
		checktest.By("an unknown type", func(c *v1.TightbeamChannel) { c.Spec.Type = "irc" }, field.ErrorTypeNotSupported, "spec.type", `"discord", "slack"`),
		checktest.By("no Secret", func(c *v1.TightbeamChannel) { c.Spec.SecretName = "" }, field.ErrorTypeRequired, "spec.secretName", "bot-token"),
		checktest.By("a target that is no name", func(c *v1.TightbeamChannel) { c.Spec.TargetModel = "Claude" }, field.ErrorTypeInvalid, "spec.targetModel", "lowercase"),
		checktest.By("an unknown scope", func(c *v1.TightbeamChannel) { c.Spec.Conversation.Scope = "Server" }, field.ErrorTypeNotSupported, "spec.conversation.scope", `"Thread", "Channel", "Sender"`),
		checktest.By("a sender twice", func(c *v1.TightbeamChannel) { c.Spec.AllowedSenders[1] = "1234" }, field.ErrorTypeDuplicate, "spec.allowedSenders[1]", "1234"),
		checktest.By("a sender without id", func(c *v1.TightbeamChannel) { c.Spec.AllowedSenders[1] = "" }, field.ErrorTypeRequired, "spec.allowedSenders[1]", "everybody"),
		checktest.By("everybody and somebody", func(c *v1.TightbeamChannel) { c.Spec.AllowedSenders[1] = "*" }, field.ErrorTypeInvalid, "spec.allowedSenders[1]", "leave them out"),
		checktest.By("an agent that breaks out of its brackets", func(c *v1.TightbeamChannel) { c.Spec.Agent = "a]: b" }, field.ErrorTypeInvalid, "spec.agent", "alphanumeric"),
	)
}
