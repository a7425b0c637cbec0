// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"strings"

	"safebeam.dev/safebeam/pkg/provider"
)

// responsesReserved are the fields that make the request what it is, or that
// would leave the history with the provider.
var responsesReserved = []string{"model", "input", "instructions", "tools", "stream", "max_output_tokens",
	"store", "previous_response_id", "conversation", "background"}

// renderResponses is the body of a Responses request: a pure function.
func renderResponses(req *provider.Request) ([]byte, error) {
	if err := provider.CheckTools(req); err != nil {
		return nil, err
	}
	eff, err := effort(req)
	if err != nil {
		return nil, err
	}
	system, history := provider.SplitSystem(req.System, req.Messages)
	b := provider.Body{"model": req.Model, "stream": true, "store": false, "input": responsesInput(req.Model, history)}
	if system != "" {
		b["instructions"] = system
	}
	if req.MaxTokens > 0 {
		b["max_output_tokens"] = req.MaxTokens
	}
	if req.Temperature != nil {
		b["temperature"] = *req.Temperature
	}
	if eff != "" {
		b["reasoning"] = provider.Body{"effort": eff}
	}
	var params struct {
		Include   json.RawMessage `json:"include"`
		Reasoning json.RawMessage `json:"reasoning"`
	}
	_ = json.Unmarshal(req.Parameters, &params)
	if params.Include == nil && (eff != "" || params.Reasoning != nil || reasons(req.Model)) {
		b["include"] = []string{"reasoning.encrypted_content"}
	}
	if len(req.ResponseSchema) > 0 {
		b["text"] = provider.Body{"format": provider.Body{"type": "json_schema", "name": "response", "schema": req.ResponseSchema, "strict": true}}
	}
	if len(req.Tools) > 0 {
		tools := make([]any, 0, len(req.Tools))
		for _, t := range req.Tools {
			// strict is on where it is left out, and takes few schemas.
			fn := provider.Body{"type": "function", "name": t.Name, "parameters": provider.ToolSchema(t), "strict": false}
			if t.Description != "" {
				fn["description"] = t.Description
			}
			tools = append(tools, fn)
		}
		b["tools"] = tools
		switch req.ToolChoice {
		case "":
		case "auto", "none":
			b["tool_choice"] = req.ToolChoice
		case "any":
			b["tool_choice"] = "required"
		default:
			b["tool_choice"] = provider.Body{"type": "function", "name": req.ToolChoice}
		}
	}
	merged, err := b.Merge(req.Parameters, responsesReserved...)
	if err != nil {
		return nil, err
	}
	return provider.Encode(merged)
}

// reasons tells the models that reason by themselves: the others refuse to be
// asked for encrypted reasoning.
func reasons(model string) bool {
	if i := strings.LastIndexByte(model, '/'); i >= 0 {
		model = model[i+1:]
	}
	if version, ok := strings.CutPrefix(model, "gpt-"); ok {
		return version != "" && version[0] >= '5' && version[0] <= '9' && !strings.Contains(model, "chat")
	}
	return len(model) > 1 && model[0] == 'o' && model[1] >= '1' && model[1] <= '9'
}

func responsesInput(model string, history []provider.Message) []any {
	out := []any{}
	for _, m := range provider.CallIDs(provider.Repair(history)) {
		switch m.Role {
		case provider.RoleSystem:
			if t := provider.PlainText(m.Content); t != "" {
				out = append(out, inputMessage("developer", []any{provider.Body{"type": "input_text", "text": t}}))
			}
		case provider.RoleUser:
			if parts := inputParts(m.Content); len(parts) > 0 {
				out = append(out, inputMessage("user", parts))
			}
		case provider.RoleTool:
			content := provider.MarkedToolResult(m)
			b := provider.Body{"type": "function_call_output", "call_id": m.ToolCallID, "output": provider.PlainText(content)}
			if provider.HasImage(content) {
				b["output"] = inputParts(content)
			}
			out = append(out, b)
		case provider.RoleAssistant:
			out = append(out, assistantItems(m, model)...)
		}
	}
	return out
}

func inputMessage(role string, parts []any) provider.Body {
	return provider.Body{"type": "message", "role": role, "content": parts}
}

func inputParts(content []provider.Block) []any {
	var parts []any
	for _, b := range content {
		switch {
		case b.Kind == provider.KindText && b.Text != "":
			parts = append(parts, provider.Body{"type": "input_text", "text": b.Text})
		case b.Kind == provider.KindImage:
			parts = append(parts, provider.Body{"type": "input_image", "image_url": dataURL(b.Image)})
		}
	}
	return parts
}

func assistantItems(m provider.Message, model string) []any {
	var out []any
	said := false // a reasoning item without what it led to is refused
	for _, p := range provider.Arrange(m, provider.OpenAI, model, coverItem) {
		switch {
		case p.Native != nil:
			out = append(out, json.RawMessage(p.Native))
			said = said || !isReasoning(p.Native)
		case p.Call != nil:
			out = append(out, provider.Body{"type": "function_call", "call_id": p.Call.ID, "name": p.Call.Name,
				"arguments": string(provider.InputObject(p.Call.Input))})
			said = true
		case p.Block.Kind == provider.KindText && p.Block.Text != "":
			out = append(out, inputMessage("assistant", []any{provider.Body{"type": "output_text", "text": p.Block.Text}}))
			said = true
		}
	}
	if !said {
		return nil
	}
	return out
}

func isReasoning(data []byte) bool {
	var o outputItem
	return json.Unmarshal(data, &o) == nil && o.Type == "reasoning"
}

// coverItem knows items by their type; the native blocks of Chat Completions
// have none.
func coverItem(data []byte) (provider.Cover, bool) {
	var o outputItem
	if json.Unmarshal(data, &o) != nil {
		return provider.Cover{}, false
	}
	switch o.Type {
	case "":
		return provider.Cover{}, false
	case "message":
		return provider.Cover{Text: o.text()}, o.text() != ""
	case "function_call":
		return provider.Cover{CallID: o.CallID}, o.CallID != ""
	}
	return provider.Cover{}, true
}
