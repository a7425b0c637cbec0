// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"

	"safebeam.dev/safebeam/pkg/provider"
)

var reserved = []string{"model", "messages", "tools", "stream", "system", "max_tokens"}

// cutOff stands before a history that begins with the model's own words, since
// a conversation has to begin with the user's.
const cutOff = "(Earlier messages are left out.)"

// render is the body of a Messages request: a pure function.
func render(req *provider.Request) ([]byte, error) {
	if err := provider.CheckTools(req); err != nil {
		return nil, err
	}
	system, history := provider.SplitSystem(req.System, req.Messages)
	messages := renderMessages(req.Model, history)
	if len(messages) == 0 {
		return nil, provider.Errorf(provider.InvalidRequest, "the history holds nothing to send")
	}
	var params struct {
		CacheControl json.RawMessage `json:"cache_control"`
	}
	_ = json.Unmarshal(req.Parameters, &params)
	tools := renderTools(req.Tools)
	var prompt []provider.Body
	if !provider.IsBlank(system) {
		prompt = []provider.Body{{"type": "text", "text": system}}
	}
	if params.CacheControl == nil {
		breakpoints(tools, prompt, messages)
	}

	b := provider.Body{"model": req.Model, "max_tokens": req.MaxTokens, "stream": true, "messages": messages}
	if prompt != nil {
		b["system"] = prompt
	}
	if tools != nil {
		b["tools"] = tools
		if c := toolChoice(req.ToolChoice); c != nil {
			b["tool_choice"] = c
		}
	}
	if req.Temperature != nil {
		b["temperature"] = *req.Temperature
	}
	output := provider.Body{}
	if len(req.ResponseSchema) > 0 {
		output["format"] = provider.Body{"type": "json_schema", "schema": req.ResponseSchema}
	}
	switch {
	case req.Thinking.BudgetTokens > 0:
		b["thinking"] = provider.Body{"type": "enabled", "budget_tokens": req.Thinking.BudgetTokens}
	case req.Thinking.Effort != "":
		b["thinking"] = provider.Body{"type": "adaptive"}
		output["effort"] = req.Thinking.Effort
	}
	if len(output) > 0 {
		b["output_config"] = output
	}
	merged, err := b.Merge(req.Parameters, reserved...)
	if err != nil {
		return nil, err
	}
	return provider.Encode(merged)
}

func toolChoice(choice string) any {
	switch choice {
	case "":
		return nil
	case "auto", "any", "none":
		return provider.Body{"type": choice}
	}
	return provider.Body{"type": "tool", "name": choice}
}

func renderTools(tools []provider.Tool) []provider.Body {
	var out []provider.Body
	for _, t := range tools {
		b := provider.Body{"name": t.Name, "input_schema": provider.ToolSchema(t)}
		if t.Description != "" {
			b["description"] = t.Description
		}
		out = append(out, b)
	}
	return out
}

// message is one of the request's, its blocks still open for a cache
// breakpoint.
type message struct {
	Role    string `json:"role"`
	Content []any  `json:"content"`
}

func renderMessages(model string, history []provider.Message) []*message {
	var out []*message
	add := func(role string, blocks []any) {
		if len(blocks) == 0 {
			return
		}
		if len(out) == 0 && role == "assistant" {
			out = append(out, &message{"user", []any{textBlock(cutOff)}})
		}
		// The results of one message's calls, and what the user says after
		// them, make one message.
		if last := len(out) - 1; role == "user" && last >= 0 && out[last].Role == "user" {
			out[last].Content = append(out[last].Content, blocks...)
			return
		}
		out = append(out, &message{role, blocks})
	}
	for _, m := range provider.CallIDs(provider.Repair(history)) {
		switch m.Role {
		case provider.RoleAssistant:
			add("assistant", assistantBlocks(m, model))
		case provider.RoleTool:
			add("user", []any{toolResult(m)})
		case provider.RoleSystem:
			if t := provider.PlainText(m.Content); !provider.IsBlank(t) {
				add("user", []any{textBlock("<system>\n" + t + "\n</system>")})
			}
		default:
			add("user", contentBlocks(m.Content))
		}
	}
	return out
}

func textBlock(s string) provider.Body { return provider.Body{"type": "text", "text": s} }

// contentBlocks leaves out texts of mere white space, which are refused, even
// those that a model wrote itself.
func contentBlocks(content []provider.Block) []any {
	var out []any
	for _, b := range content {
		switch {
		case b.Kind == provider.KindText && !provider.IsBlank(b.Text):
			out = append(out, textBlock(b.Text))
		case b.Kind == provider.KindImage:
			out = append(out, provider.Body{"type": "image",
				"source": provider.Body{"type": "base64", "media_type": b.Image.MediaType, "data": b.Image.Data}})
		}
	}
	return out
}

func toolResult(m provider.Message) provider.Body {
	b := provider.Body{"type": "tool_result", "tool_use_id": m.ToolCallID}
	if c := contentBlocks(provider.ToolResult(m)); len(c) > 0 {
		b["content"] = c
	}
	if m.IsError {
		b["is_error"] = true
	}
	return b
}

func assistantBlocks(m provider.Message, model string) []any {
	var out []any
	said := false // thinking alone is no message
	for _, p := range provider.Arrange(m, provider.Anthropic, model, cover) {
		switch {
		case p.Native != nil:
			out = append(out, json.RawMessage(p.Native))
			said = said || !isThinking(p.Native)
		case p.Call != nil:
			out = append(out, provider.Body{"type": "tool_use", "id": p.Call.ID, "name": p.Call.Name, "input": provider.InputObject(p.Call.Input)})
			said = true
		case p.Block.Kind == provider.KindText && !provider.IsBlank(p.Block.Text):
			out = append(out, textBlock(p.Block.Text))
			said = true
		}
	}
	if !said {
		return nil
	}
	return out
}

func isThinking(data []byte) bool {
	var n struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(data, &n)
	return n.Type == "thinking" || n.Type == "redacted_thinking"
}

func cover(data []byte) (provider.Cover, bool) {
	var n struct{ Type, ID, Text string }
	if json.Unmarshal(data, &n) != nil || n.Type == "" {
		return provider.Cover{}, false
	}
	switch n.Type {
	case "tool_use":
		return provider.Cover{CallID: n.ID}, n.ID != ""
	case "text":
		return provider.Cover{Text: n.Text}, n.Text != ""
	}
	return provider.Cover{}, true
}

// breakpoints marks where the prompt cache may be cut: behind the tools, the
// system prompt, and the user's last two messages. Four is all that Anthropic
// takes. The second last was the last one in the turn before, so what that turn
// stored is found again however many blocks came between.
func breakpoints(tools, system []provider.Body, messages []*message) {
	mark := func(b any) bool {
		body, ok := b.(provider.Body)
		if ok {
			body["cache_control"] = provider.Body{"type": "ephemeral"}
		}
		return ok
	}
	if len(tools) > 0 {
		mark(tools[len(tools)-1])
	}
	if len(system) > 0 {
		mark(system[len(system)-1])
	}
	for i, left := len(messages)-1, 2; i >= 0 && left > 0; i-- {
		if m := messages[i]; m.Role == "user" && mark(m.Content[len(m.Content)-1]) {
			left--
		}
	}
}
