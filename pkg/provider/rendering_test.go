// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// Section 9.4. The fake refuses a signature that it did not make, one that was
// changed, one of another model, and a call without the thinking it came of.
func TestNativeBlocksGoBackUnchanged(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		first := full()
		first.Blocks = append([]fakeprovider.Block{{Kind: fakeprovider.Redacted, Signature: "opaque"}}, first.Blocks...)
		if w.name != fakeprovider.Anthropic {
			first.Blocks = first.Blocks[1:]
		}
		w.fake.Enqueue(first, fakeprovider.Say("done"), fakeprovider.Say("again"), fakeprovider.Say("elsewhere"))
		req := w.ask("hi")
		req.Tools = tools()
		res := w.must(req)

		// The tool loop, then the turn after it.
		req.Messages = append(req.Messages, res.Message(), result("call_a", "seen"), result("call_b", "smelt"))
		res = w.must(req)
		loop := append([]byte(nil), w.fake.Last().Body...)
		req.Messages = append(req.Messages, res.Message(), user("and now?"))
		w.must(req)
		for _, secret := range map[fakeprovider.Protocol][]string{
			fakeprovider.Anthropic: {`"sig-1"`, `"opaque"`},
			fakeprovider.Responses: {`"encrypted_content":"sig-1"`},
			fakeprovider.Chat:      {`"reasoning_content":"let me think <&>"`},
			fakeprovider.Gemini:    {`"thoughtSignature":"c2lnLTE="`, `"thoughtSignature":"c2lnLTI="`},
		}[w.name] {
			if !bytes.Contains(loop, []byte(secret)) && !bytes.Contains(loop, []byte(strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(secret))) {
				t.Errorf("%s did not go back: %s", secret, loop)
			}
		}
		if got := string(loop); strings.Count(got, "It is grün") != 1 {
			t.Errorf("the text went back twice, or not at all: %s", got)
		}

		// Another model gets the same history without them.
		req.Model = "another-model"
		w.must(req)
		if got := string(w.fake.Last().Body); strings.Contains(got, "sig-1") || strings.Contains(got, "c2lnL") || strings.Contains(got, "let me think") || strings.Contains(got, "opaque") {
			t.Errorf("another model was sent what is not its own: %s", got)
		}
		if got := string(w.fake.Last().Body); !strings.Contains(got, "It is grün") {
			t.Errorf("another model was not sent the text: %s", got)
		}
	})
}

// A history that began with one provider goes on with another.
func TestHistoryMovesBetweenProviders(t *testing.T) {
	t.Parallel()
	for _, from := range targets {
		for _, to := range targets {
			if from.name == to.name {
				continue // two services of one kind do not share signatures
			}
			t.Run(fmt.Sprintf("%s to %s", from.name, to.name), func(t *testing.T) {
				t.Parallel()
				a, b := newWorld(t, from), newWorld(t, to)
				a.fake.Enqueue(full())
				res := a.must(a.ask("hi"))
				req := b.ask("")
				req.Messages = []provider.Message{user("hi"), res.Message(), result("call_a", "seen"), result("call_b", "smelt"), user("go on")}
				b.must(req)
			})
		}
	}
}

// Section 9.5.
func TestToolResultsGoBackInCallOrder(t *testing.T) {
	t.Parallel()
	history := []provider.Message{
		user("hi"),
		{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "a", Name: "look"}, {ID: "b", Name: "look", Input: `{"x":1}`}, {ID: "c", Name: "smell", Input: "null"}, {ID: "d", Name: "look", Input: `{"x":`}}},
		result("c", "third"),
		{Role: provider.RoleTool, ToolCallID: "a", IsError: true, Content: []provider.Block{provider.Text("first")}},
		user("and quick"),
		result("a", "first, once more"),
		result("zz", "whose?"),
	}
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("")
		req.Messages = history
		w.must(req)
		body := string(w.fake.Last().Body)
		order := []int{strings.Index(body, "first"), strings.Index(body, "interrupted"), strings.Index(body, "third"), strings.Index(body, "and quick")}
		for i := 1; i < len(order); i++ {
			if order[i-1] < 0 || order[i] < order[i-1] {
				t.Fatalf("order %v in %s", order, body)
			}
		}
		if strings.Contains(body, "once more") || strings.Contains(body, "whose?") {
			t.Errorf("a second or a foreign result was sent: %s", body)
		}
		if strings.Contains(body, `"input":null`) || strings.Contains(body, `"args":null`) || strings.Contains(body, `"arguments":"null"`) || strings.Contains(body, `"arguments":""`) {
			t.Errorf("an empty input is not {}: %s", body)
		}
		switch w.name {
		case fakeprovider.Anthropic:
			if n := len(at(w.body(), "messages").([]any)); n != 3 {
				t.Errorf("%d messages, want the results in one", n)
			}
			if at(w.body(), "messages.2.content.0.is_error") != true || at(w.body(), "messages.2.content.2.is_error") != nil || at(w.body(), "messages.2.content.1.is_error") != true {
				t.Errorf("is_error: %s", body)
			}
		case fakeprovider.Gemini:
			if at(w.body(), "contents.2.parts.0.functionResponse.response.error") != "first" || at(w.body(), "contents.2.parts.2.functionResponse.response.output") != "third" {
				t.Errorf("error and output: %s", body)
			}
		}
	})
}

// The ids of another provider's calls may hold what this one refuses, and may
// come again in every answer.
func TestStrictProvidersAreSentIDsThatTheyTake(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	for _, tg := range targets {
		w := newWorld(t, tg)
		if tg.name == fakeprovider.Chat {
			w = newOwnModels(t)
		}
		call := provider.Message{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "functions.look:0", Name: "look"}, {ID: long, Name: "look"}}}
		req := w.ask("hi")
		req.Messages = append(req.Messages, call, result(long, "second"), result("functions.look:0", "first"), user("more"),
			call, result("functions.look:0", "third"), result(long, "fourth"))
		w.must(req)
		body := string(w.fake.Last().Body)
		if strings.Contains(body, "functions.look") || strings.Contains(body, long) {
			t.Errorf("%s: %s", tg.name, body)
		}
		for i, word := range []string{"first", "second", "third", "fourth"} {
			next := strings.Index(body, word)
			if next < 0 {
				t.Errorf("%s: result %d is lost: %s", tg.name, i, body)
			}
			body = body[max(next, 0):]
		}
	}
}

// Servers that speak like OpenAI may read something in their own ids.
func TestCompatibleServersAreSentTheirOwnIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[2])
	req := w.ask("hi")
	req.Messages = append(req.Messages,
		provider.Message{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "functions.look:0", Name: "look"}}}, result("functions.look:0", "seen"))
	w.must(req)
	if at(w.body(), "messages.2.tool_call_id") != "functions.look:0" {
		t.Errorf("%s", w.fake.Last().Body)
	}
}

// Section 9.6.
func TestSameHistoryRendersToTheSameBytes(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("hi")
		req.System, req.Tools, req.ToolChoice = "be kind", tools(), "auto"
		req.Parameters = json.RawMessage(`{"z":1}`)
		if w.name != fakeprovider.Chat {
			req.Parameters = nil // the others know their fields
		}
		var before []byte
		for range 10 {
			w.must(req)
			if now := w.fake.Last().Body; before != nil && !bytes.Equal(before, now) {
				t.Fatalf("bytes differ:\n%s\n%s", before, now)
			} else {
				before = now
			}
		}
		// A longer history begins with the shorter one's messages.
		w.fake.Enqueue(full())
		res := w.must(req)
		short := w.messages()
		req.Messages = append(req.Messages, res.Message(), result("call_a", "1"), result("call_b", "2"), user("more"))
		w.must(req)
		long := w.messages()
		for i := range short {
			if short[i] != long[i] {
				t.Errorf("message %d changed:\n%s\n%s", i, short[i], long[i])
			}
		}
	})
}

// messages are the last request's, without the cache breakpoints, which move.
func (w *world) messages() []string {
	w.t.Helper()
	var out []string
	for _, field := range []string{"messages", "input", "contents"} {
		list, _ := w.body()[field].([]any)
		for _, m := range list {
			b, err := json.Marshal(unmarked(m))
			if err != nil {
				w.t.Fatal(err)
			}
			out = append(out, string(b))
		}
	}
	return out
}

func unmarked(v any) any {
	switch x := v.(type) {
	case map[string]any:
		delete(x, "cache_control")
		for k := range x {
			x[k] = unmarked(x[k])
		}
	case []any:
		for i := range x {
			x[i] = unmarked(x[i])
		}
	}
	return v
}

func TestCacheBreakpointsAreSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[0])
	req := w.ask("one")
	req.System, req.Tools = "be kind", tools()
	req.Messages = append(req.Messages, provider.Message{Role: provider.RoleAssistant, Content: []provider.Block{provider.Text("two")}}, user("three"),
		provider.Message{Role: provider.RoleAssistant, Content: []provider.Block{provider.Text("four")}}, user("five"))
	w.must(req)
	for path, want := range map[string]bool{
		"tools.0": false, "tools.1": true, "system.0": true, "messages.0.content.0": false, "messages.1.content.0": false,
		"messages.2.content.0": true, "messages.3.content.0": false, "messages.4.content.0": true,
	} {
		if got := at(w.body(), path+".cache_control.type") == "ephemeral"; got != want {
			t.Errorf("%s: breakpoint %v, want %v", path, got, want)
		}
	}
	req.Parameters = json.RawMessage(`{"cache_control":{"type":"ephemeral","ttl":"1h"}}`)
	w.must(req)
	if n := strings.Count(string(w.fake.Last().Body), "cache_control"); n != 1 {
		t.Errorf("%d breakpoints beside the model's own", n-1)
	}
}

func TestImagesAreEncodedAtTheEdge(t *testing.T) {
	t.Parallel()
	img := provider.Block{Kind: provider.KindImage, Image: &provider.Image{MediaType: "image/png", Data: []byte("\x89PNG")}}
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("")
		req.Messages = []provider.Message{
			{Role: provider.RoleUser, Content: []provider.Block{provider.Text("see"), img}},
			{Role: provider.RoleAssistant, ToolCalls: []provider.ToolCall{{ID: "a", Name: "look"}}},
			{Role: provider.RoleTool, ToolCallID: "a", Content: []provider.Block{provider.Text("shot"), img}},
		}
		w.must(req)
		if n := strings.Count(string(w.fake.Last().Body), "iVBORw=="); n != 2 && strings.Count(string(w.fake.Last().Body), "iVBORw") != 2 {
			t.Errorf("the pictures: %s", w.fake.Last().Body)
		}
	})
}

func TestSystemMessagesKeepTheirPlace(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("")
		sys := func(s string) provider.Message {
			return provider.Message{Role: provider.RoleSystem, Content: []provider.Block{provider.Text(s)}}
		}
		req.System = "alpha"
		req.Messages = []provider.Message{sys("beta"), user("gamma"), sys("delta"), user("epsilon")}
		w.must(req)
		body := string(w.fake.Last().Body)
		if i, j, k := strings.Index(body, "gamma"), strings.Index(body, "delta"), strings.Index(body, "epsilon"); i < 0 || j < i || k < j {
			t.Errorf("%s", body)
		}
		if !strings.Contains(body, "alpha") || !strings.Contains(body, "beta") {
			t.Errorf("%s", body)
		}
	})
}

// What is left of a history may begin with the model, or be nothing at all.
func TestCutHistoryIsStillAccepted(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		said := provider.Message{Role: provider.RoleAssistant, Content: []provider.Block{provider.Text("said")}}
		thought := provider.Message{Role: provider.RoleAssistant, Content: []provider.Block{{Kind: provider.KindThinking, Text: "only thought"}}}
		req := w.ask("")
		req.Messages = []provider.Message{result("gone", "old"), said, thought, {Role: provider.RoleAssistant}, user("go on")}
		w.must(req)
		if body := string(w.fake.Last().Body); strings.Contains(body, "only thought") || !strings.Contains(body, "said") {
			t.Errorf("%s", body)
		}
	})
}

func TestRequestFieldsReachTheProvider(t *testing.T) {
	t.Parallel()
	half := 0.5
	want := map[fakeprovider.Protocol]map[string]any{
		fakeprovider.Anthropic: {"model": "claude-x", "max_tokens": 4096.0, "stream": true, "system.0.text": "be kind", "temperature": 0.5, "tool_choice.type": "any",
			"tools.0.name": "look", "tools.0.description": "looks", "tools.0.input_schema.type": "object", "tools.1.input_schema.type": "object",
			"thinking.type": "adaptive", "output_config.effort": "high", "output_config.format.type": "json_schema", "output_config.format.schema.type": "object", "top_k": 7.0},
		fakeprovider.Responses: {"model": "gpt-5-x", "max_output_tokens": 4096.0, "stream": true, "store": false, "instructions": "be kind", "temperature": 0.5, "tool_choice": "required",
			"tools.0.name": "look", "tools.0.strict": false, "tools.1.parameters.type": "object", "reasoning.effort": "high", "reasoning.summary": "auto", "include.0": "reasoning.encrypted_content",
			"text.format.schema.type": "object", "text.format.type": "json_schema"},
		fakeprovider.Chat: {"model": "local-x", "max_tokens": 4096.0, "stream": true, "stream_options.include_usage": true, "messages.0.role": "system", "messages.0.content": "be kind", "temperature": 0.5,
			"tool_choice": "required", "tools.0.function.name": "look", "reasoning_effort": "high", "response_format.type": "json_schema", "response_format.json_schema.schema.type": "object", "top_k": 7.0},
		fakeprovider.Gemini: {"systemInstruction.parts.0.text": "be kind", "generationConfig.maxOutputTokens": 4096.0, "generationConfig.temperature": 0.5, "generationConfig.topK": 7.0,
			"toolConfig.functionCallingConfig.mode": "ANY", "tools.0.functionDeclarations.0.name": "look", "generationConfig.thinkingConfig.thinkingLevel": "high",
			"generationConfig.responseMimeType": "application/json", "generationConfig.responseJsonSchema.type": "object", "contents.0.parts.0.text": "hi"},
	}
	params := map[fakeprovider.Protocol]string{
		fakeprovider.Anthropic: `{"top_k":7,"temperature":1}`,
		fakeprovider.Responses: `{"reasoning":{"summary":"auto","effort":"low"}}`,
		fakeprovider.Chat:      `{"top_k":7,"temperature":1}`,
		fakeprovider.Gemini:    `{"generationConfig":{"topK":7,"temperature":1}}`,
	}
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("hi")
		req.System, req.Tools, req.ToolChoice, req.Temperature = "be kind", tools(), "any", &half
		req.Thinking.Effort = "high"
		req.ResponseSchema = json.RawMessage(`{"type":"object"}`)
		req.Parameters = json.RawMessage(params[w.name])
		w.must(req)
		for path, v := range want[w.name] {
			if got := at(w.body(), path); got != v {
				t.Errorf("%s: %v, want %v", path, got, v)
			}
		}
	})
}

func TestThinkingBudget(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("hi")
		req.Thinking.BudgetTokens = 2048
		switch w.name {
		case fakeprovider.Anthropic:
			w.must(req)
			if at(w.body(), "thinking.type") != "enabled" || at(w.body(), "thinking.budget_tokens") != 2048.0 {
				t.Errorf("%s", w.fake.Last().Body)
			}
		case fakeprovider.Gemini:
			w.must(req)
			if at(w.body(), "generationConfig.thinkingConfig.thinkingBudget") != 2048.0 {
				t.Errorf("%s", w.fake.Last().Body)
			}
		default:
			if pe := w.fail(req); pe.Class != provider.InvalidRequest || !strings.Contains(pe.Message, "effort") {
				t.Errorf("%+v", pe)
			}
		}
	})
}

func TestToolChoice(t *testing.T) {
	t.Parallel()
	named := map[fakeprovider.Protocol]string{fakeprovider.Anthropic: "tool_choice.name", fakeprovider.Responses: "tool_choice.name",
		fakeprovider.Chat: "tool_choice.function.name", fakeprovider.Gemini: "toolConfig.functionCallingConfig.allowedFunctionNames.0"}
	forEach(t, func(t *testing.T, w *world) {
		req := w.ask("hi")
		req.Tools, req.ToolChoice = tools(), "smell"
		w.must(req)
		if got := at(w.body(), named[w.name]); got != "smell" {
			t.Errorf("%v: %s", got, w.fake.Last().Body)
		}
		req.ToolChoice = "fly"
		if pe := w.fail(req); pe.Class != provider.InvalidRequest {
			t.Errorf("a tool that is not there: %+v", pe)
		}
		req.Tools, req.ToolChoice = nil, "any"
		if pe := w.fail(req); pe.Class != provider.InvalidRequest {
			t.Errorf("any of none: %+v", pe)
		}
		req.ToolChoice = "auto"
		w.must(req)
	})
}

func TestParametersMayNotMakeAnotherRequest(t *testing.T) {
	t.Parallel()
	names := map[fakeprovider.Protocol][]string{
		fakeprovider.Anthropic: {"model", "messages", "tools", "stream", "system", "max_tokens"},
		fakeprovider.Responses: {"model", "input", "tools", "stream", "instructions", "store", "previous_response_id", "conversation", "background"},
		fakeprovider.Chat:      {"model", "messages", "tools", "stream", "n", "functions"},
		fakeprovider.Gemini:    {"model", "contents", "tools", "systemInstruction"},
	}
	forEach(t, func(t *testing.T, w *world) {
		for _, name := range names[w.name] {
			req := w.ask("hi")
			req.Parameters = json.RawMessage(fmt.Sprintf(`{%q:"x"}`, name))
			if pe := w.fail(req); pe.Class != provider.InvalidRequest || !strings.Contains(pe.Message, name) {
				t.Errorf("%s: %+v", name, pe)
			}
		}
		for _, raw := range []string{"[1]", "nonsense", `"x"`} {
			req := w.ask("hi")
			req.Parameters = json.RawMessage(raw)
			if pe := w.fail(req); pe.Class != provider.InvalidRequest {
				t.Errorf("%s: %+v", raw, pe)
			}
		}
		if n := len(w.fake.Requests()); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

// Blocks that our messages have no word for go back where they were.
func TestServerToolBlocksKeepTheirPlace(t *testing.T) {
	t.Parallel()
	for _, tg := range targets[:2] {
		w := newWorld(t, tg)
		reply := fakeprovider.Reply{Blocks: []fakeprovider.Block{
			{Kind: fakeprovider.Text, Deltas: []string{"I search."}},
			{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{`{}`}},
			{Kind: fakeprovider.ServerTool, Deltas: []string{`{"q":"x"}`}},
			{Kind: fakeprovider.Text, Deltas: []string{"Found."}},
		}}
		w.fake.Enqueue(reply)
		res := w.must(w.ask("hi"))
		req := w.ask("")
		req.Messages = []provider.Message{user("hi"), res.Message(), result("a", "seen")}
		w.must(req)
		body := string(w.fake.Last().Body)
		order := []int{strings.Index(body, "I search."), strings.Index(body, `"look"`), strings.Index(body, "web_search"), strings.Index(body, "Found.")}
		for i := 1; i < len(order); i++ {
			if order[i-1] < 0 || order[i] < order[i-1] {
				t.Errorf("%s: order %v in %s", tg.name, order, body)
				break
			}
		}
	}
}
