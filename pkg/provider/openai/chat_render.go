// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/json"

	"safebeam.dev/safebeam/pkg/provider"
)

// chatReserved are the fields that make the request what it is.
var chatReserved = []string{"model", "messages", "tools", "functions", "stream", "stream_options", "n", "max_tokens"}

// renderChat is the body of a Chat Completions request: a pure function. own
// says that it goes to OpenAI's own models, which are stricter, and newer in
// their words, than most servers that speak like them.
func renderChat(req *provider.Request, own bool) ([]byte, error) {
	if err := provider.CheckTools(req); err != nil {
		return nil, err
	}
	b := provider.Body{
		"model":          req.Model,
		"messages":       chatMessages(req, own),
		"stream":         true,
		"stream_options": provider.Body{"include_usage": true},
	}
	var params struct {
		MaxCompletionTokens json.RawMessage `json:"max_completion_tokens"`
	}
	_ = json.Unmarshal(req.Parameters, &params)
	// OpenAI's models that reason refuse the older name, most other servers
	// know no other; who sets the newer one in the parameters means it.
	if req.MaxTokens > 0 && params.MaxCompletionTokens == nil {
		name := "max_tokens"
		if own {
			name = "max_completion_tokens"
		}
		b[name] = req.MaxTokens
	}
	if req.Temperature != nil {
		b["temperature"] = *req.Temperature
	}
	eff, err := effort(req)
	if err != nil {
		return nil, err
	}
	if eff != "" {
		b["reasoning_effort"] = eff
	}
	if len(req.ResponseSchema) > 0 {
		b["response_format"] = provider.Body{
			"type":        "json_schema",
			"json_schema": provider.Body{"name": "response", "schema": req.ResponseSchema, "strict": true},
		}
	}
	if len(req.Tools) > 0 {
		tools := make([]any, 0, len(req.Tools))
		for _, t := range req.Tools {
			fn := provider.Body{"name": t.Name, "parameters": provider.ToolSchema(t)}
			if t.Description != "" {
				fn["description"] = t.Description
			}
			tools = append(tools, provider.Body{"type": "function", "function": fn})
		}
		b["tools"] = tools
		switch req.ToolChoice {
		case "":
		case "auto", "none":
			b["tool_choice"] = req.ToolChoice
		case "any":
			b["tool_choice"] = "required"
		default:
			b["tool_choice"] = provider.Body{"type": "function", "function": provider.Body{"name": req.ToolChoice}}
		}
	}
	merged, err := b.Merge(req.Parameters, chatReserved...)
	if err != nil {
		return nil, err
	}
	return provider.Encode(merged)
}

func chatMessages(req *provider.Request, own bool) []any {
	var out []any
	if req.System != "" {
		out = append(out, provider.Body{"role": "system", "content": req.System})
	}
	var pictures []any // of tool results, until the results end
	flush := func() {
		if len(pictures) > 0 {
			out = append(out, provider.Body{"role": "user", "content": pictures})
			pictures = nil
		}
	}
	history := provider.Repair(req.Messages)
	if own {
		// Other servers may tie a meaning to the ids that they gave.
		history = provider.CallIDs(history)
	}
	for _, m := range history {
		if m.Role != provider.RoleTool {
			flush()
		}
		switch m.Role {
		case provider.RoleSystem:
			out = append(out, provider.Body{"role": "system", "content": provider.PlainText(m.Content)})
		case provider.RoleUser:
			out = append(out, provider.Body{"role": "user", "content": chatContent(m.Content)})
		case provider.RoleTool:
			// A tool message holds text only; its pictures follow in a user's.
			out = append(out, provider.Body{"role": "tool", "tool_call_id": m.ToolCallID, "content": provider.PlainText(provider.MarkedToolResult(m))})
			if provider.HasImage(m.Content) {
				pictures = append(pictures, provider.Body{"type": "text", "text": "Images of the tool call " + m.ToolCallID + ":"})
				for _, b := range m.Content {
					if b.Kind == provider.KindImage {
						pictures = append(pictures, chatImage(b))
					}
				}
			}
		case provider.RoleAssistant:
			if a := chatAssistant(m, req.Model); a != nil {
				out = append(out, a)
			}
		}
	}
	flush()
	return out
}

func chatContent(content []provider.Block) any {
	if !provider.HasImage(content) {
		return provider.PlainText(content)
	}
	var parts []any
	for _, b := range content {
		switch {
		case b.Kind == provider.KindImage:
			parts = append(parts, chatImage(b))
		case b.Kind == provider.KindText && b.Text != "":
			parts = append(parts, provider.Body{"type": "text", "text": b.Text})
		}
	}
	return parts
}

func chatImage(b provider.Block) any {
	return provider.Body{"type": "image_url", "image_url": provider.Body{"url": dataURL(b.Image)}}
}

func dataURL(img *provider.Image) string {
	return "data:" + img.MediaType + ";base64," + base64.StdEncoding.EncodeToString(img.Data)
}

// chatAssistant renders an assistant's message, or nil if nothing is left of
// it.
func chatAssistant(m provider.Message, model string) any {
	b := provider.Body{"role": "assistant"}
	var calls []any
	text := ""
	for _, p := range provider.Arrange(m, provider.OpenAI, model, coverChat) {
		switch {
		case p.Call != nil:
			calls = append(calls, provider.Body{"id": p.Call.ID, "type": "function",
				"function": provider.Body{"name": p.Call.Name, "arguments": string(provider.InputObject(p.Call.Input))}})
		case p.Native != nil:
			var fields map[string]json.RawMessage
			_ = json.Unmarshal(p.Native, &fields)
			for k, v := range fields {
				b[k] = v
			}
		case p.Block.Kind == provider.KindText:
			text += p.Block.Text
		}
	}
	if text == "" && len(calls) == 0 {
		return nil
	}
	b["content"] = text
	if len(calls) > 0 {
		b["tool_calls"] = calls
		if text == "" {
			b["content"] = nil
		}
	}
	return b
}

// coverChat knows this protocol's native block: the reasoning that some servers
// want back with the tool calls that came of it, under the name that they gave
// it. The native blocks of Responses are items with a type.
func coverChat(data []byte) (provider.Cover, bool) {
	var n struct {
		Type             string `json:"type"`
		ReasoningContent string `json:"reasoning_content"`
		Reasoning        string `json:"reasoning"`
	}
	if json.Unmarshal(data, &n) != nil || n.Type != "" {
		return provider.Cover{}, false
	}
	return provider.Cover{}, n.ReasoningContent != "" || n.Reasoning != ""
}
