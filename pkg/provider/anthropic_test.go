// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"encoding/json"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// Models write texts of mere white space before a call, and are not given them
// back: the service refuses what it said itself.
func TestAnthropicIsNotSentBlankTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	w.fake.Enqueue(fakeprovider.Reply{Blocks: []fakeprovider.Block{
		{Kind: fakeprovider.Thinking, Deltas: []string{"hm"}, Signature: "sig"},
		{Kind: fakeprovider.Text, Deltas: []string{"\n", "\n"}},
		{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{`{}`}},
	}})
	req := w.ask("hi")
	req.System = " \n"
	res := w.must(req)
	if textOf(res) != "\n\n" {
		t.Errorf("the answer is %q", textOf(res))
	}
	req.Messages = append(req.Messages, res.Message(), result("a", "  "), user(" "), user("go on"))
	w.must(req)
	if at(w.body(), "system") != nil {
		t.Errorf("%s", w.fake.Last().Body)
	}
	// Nothing else to say is no request.
	if pe := w.fail(w.ask(" ")); pe.Class != provider.InvalidRequest {
		t.Errorf("%+v", pe)
	}
}

func TestAnthropicTakesAnEmptyFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	req := w.ask("hi")
	req.Messages = append(req.Messages,
		provider.Message{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "a", Name: "look"}, {ID: "b", Name: "look"}}},
		provider.Message{Role: provider.RoleTool, ToolCallID: "a", IsError: true}, provider.Message{Role: provider.RoleTool, ToolCallID: "b"})
	w.must(req)
	if at(w.body(), "messages.2.content.0.is_error") != true || at(w.body(), "messages.2.content.1.content") != nil {
		t.Errorf("%s", w.fake.Last().Body)
	}
}

func TestAnthropicAccountWithoutMoneyIsNoBadRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	for message, want := range map[string]provider.Class{
		"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.": provider.QuotaExhausted,
		"You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.":                     provider.QuotaExhausted,
		"temperature: may only be set to 1 when thinking is enabled":                                                               provider.InvalidRequest,
	} {
		w.fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: 400, Type: "invalid_request_error", Message: message}})
		if pe := w.fail(w.ask("hi")); pe.Class != want || pe.Message != message {
			t.Errorf("%+v", pe)
		}
	}
}

func TestAnthropicInputAtTheStartOfItsBlockIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	reply := full()
	reply.Accent = fakeprovider.AccentStart
	w.fake.Enqueue(reply)
	res := w.must(w.ask("hi"))
	if len(res.ToolCalls) != 2 || res.ToolCalls[0].Input != `{"at":"x"}` || res.ToolCalls[1].Input != `{"id":123456789012345678}` {
		t.Errorf("%+v", res.ToolCalls)
	}
	reply.Blocks = []fakeprovider.Block{{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{"null"}}}
	w.fake.Enqueue(reply)
	if res := w.must(w.ask("hi")); res.ToolCalls[0].Input != "{}" {
		t.Errorf("no input is %q", res.ToolCalls[0].Input)
	}
}

// Thinking that is not shown is signed all the same.
func TestAnthropicThinkingThatIsNotShownGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	w.fake.Enqueue(fakeprovider.Reply{Blocks: []fakeprovider.Block{
		{Kind: fakeprovider.Thinking, Signature: "sig"},
		{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{`{}`}},
	}})
	req := w.ask("hi")
	res := w.must(req)
	req.Messages = append(req.Messages, res.Message(), result("a", "seen"))
	w.must(req)
	if at(w.body(), "messages.1.content.0.signature") != "sig" {
		t.Errorf("%s", w.fake.Last().Body)
	}
}

func TestAnthropicThinkingParametersArePassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	req := w.ask("hi")
	req.Thinking.Effort = "high"
	req.Parameters = json.RawMessage(`{"thinking":{"display":"omitted"}}`)
	w.must(req)
	if at(w.body(), "thinking.type") != "adaptive" || at(w.body(), "thinking.display") != "omitted" {
		t.Errorf("%s", w.fake.Last().Body)
	}
}
