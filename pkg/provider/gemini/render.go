// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"encoding/json"
	"strings"

	"safebeam.dev/safebeam/pkg/provider"
)

var reserved = []string{"contents", "systemInstruction", "system_instruction", "tools", "model"}

// cutOff stands before a history that begins with the model's own words.
const cutOff = "(Earlier messages are left out.)"

// anySignature is Google's own word for calls that another model made: the
// third generation demands a signature on every call, and takes this one.
const anySignature = "skip_thought_signature_validator"

// render is the body of a request: a pure function.
func render(req *provider.Request) (provider.Body, error) {
	if err := provider.CheckTools(req); err != nil {
		return nil, err
	}
	system, history := provider.SplitSystem(req.System, req.Messages)
	contents := renderContents(req.Model, history)
	if len(contents) == 0 {
		return nil, provider.Errorf(provider.InvalidRequest, "the history holds nothing to send")
	}
	b := provider.Body{"contents": contents}
	if system != "" {
		b["systemInstruction"] = provider.Body{"parts": []any{textPart(system)}}
	}
	gen := provider.Body{}
	if req.MaxTokens > 0 {
		gen["maxOutputTokens"] = req.MaxTokens
	}
	if req.Temperature != nil {
		gen["temperature"] = *req.Temperature
	}
	if len(req.ResponseSchema) > 0 {
		gen["responseMimeType"], gen["responseJsonSchema"] = "application/json", req.ResponseSchema
	}
	switch {
	case req.Thinking.BudgetTokens > 0:
		gen["thinkingConfig"] = provider.Body{"includeThoughts": true, "thinkingBudget": req.Thinking.BudgetTokens}
	case req.Thinking.Effort != "":
		gen["thinkingConfig"] = provider.Body{"includeThoughts": true, "thinkingLevel": req.Thinking.Effort}
	}
	if len(gen) > 0 {
		b["generationConfig"] = gen
	}
	if len(req.Tools) > 0 {
		b["tools"] = []any{provider.Body{"functionDeclarations": declarations(req.Tools)}}
		if c := toolConfig(req.ToolChoice); c != nil {
			b["toolConfig"] = provider.Body{"functionCallingConfig": c}
		}
	}
	return b.Merge(req.Parameters, reserved...)
}

func declarations(tools []provider.Tool) []any {
	var out []any
	for _, t := range tools {
		fn := provider.Body{"name": t.Name, "parametersJsonSchema": provider.ToolSchema(t)}
		if t.Description != "" {
			fn["description"] = t.Description
		}
		out = append(out, fn)
	}
	return out
}

func toolConfig(choice string) provider.Body {
	switch choice {
	case "":
		return nil
	case "auto", "any", "none":
		return provider.Body{"mode": strings.ToUpper(choice)}
	}
	return provider.Body{"mode": "ANY", "allowedFunctionNames": []string{choice}}
}

type content struct {
	Role  string `json:"role"`
	Parts []any  `json:"parts"`
}

// call is one that waits for its response.
type call struct{ id, name string }

func renderContents(model string, history []provider.Message) []*content {
	var out []*content
	waiting := map[string]call{}
	var responses *content // of the message before, still open
	var pictures []any     // in those responses
	flush := func() {
		if len(pictures) > 0 {
			out = append(out, &content{"user", pictures})
		}
		responses, pictures = nil, nil
	}
	add := func(role string, parts []any) {
		flush()
		if len(parts) == 0 {
			return
		}
		if len(out) == 0 && role == "model" {
			out = append(out, &content{"user", []any{textPart(cutOff)}})
		}
		out = append(out, &content{role, parts})
	}
	for _, m := range provider.Repair(history) {
		switch m.Role {
		case provider.RoleAssistant:
			parts, calls := modelParts(m, model)
			waiting = calls
			add("model", parts)
		case provider.RoleTool:
			if responses == nil {
				responses = &content{Role: "user"}
				out = append(out, responses)
			}
			responses.Parts = append(responses.Parts, functionResponse(m, waiting[m.ToolCallID]))
			if provider.HasImage(m.Content) {
				pictures = append(pictures, textPart("Images of the tool call above:"))
				for _, b := range m.Content {
					if b.Kind == provider.KindImage {
						pictures = append(pictures, imagePart(b.Image))
					}
				}
			}
		case provider.RoleSystem:
			if t := provider.PlainText(m.Content); t != "" {
				add("user", []any{textPart("<system>\n" + t + "\n</system>")})
			}
		default:
			add("user", userParts(m.Content))
		}
	}
	flush()
	return out
}

func textPart(s string) provider.Body { return provider.Body{"text": s} }

func imagePart(img *provider.Image) provider.Body {
	return provider.Body{"inlineData": provider.Body{"mimeType": img.MediaType, "data": img.Data}}
}

func userParts(blocks []provider.Block) []any {
	var out []any
	for _, b := range blocks {
		switch {
		case b.Kind == provider.KindText && b.Text != "":
			out = append(out, textPart(b.Text))
		case b.Kind == provider.KindImage:
			out = append(out, imagePart(b.Image))
		}
	}
	return out
}

func functionResponse(m provider.Message, c call) provider.Body {
	key := "output"
	if m.IsError {
		key = "error"
	}
	fr := provider.Body{"name": c.name, "response": provider.Body{key: provider.PlainText(m.Content)}}
	if c.id != "" {
		fr["id"] = c.id
	}
	return provider.Body{"functionResponse": fr}
}

// modelParts renders an assistant's message, and says which calls wait for a
// response. Ids that we made up are ours alone: results match by order.
func modelParts(m provider.Message, model string) ([]any, map[string]call) {
	var out []any
	calls := map[string]call{}
	signed, said := false, false
	for _, p := range provider.Arrange(m, provider.Gemini, model, cover) {
		switch {
		case p.Native != nil:
			var n part
			_ = json.Unmarshal(p.Native, &n)
			if p.Call != nil {
				calls[p.Call.ID] = call{n.FunctionCall.ID, p.Call.Name}
				p.Native = withArgs(p.Native, n)
			}
			signed = signed || len(n.Signature) > 0
			said = said || !n.Thought
			out = append(out, json.RawMessage(p.Native))
		case p.Call != nil:
			calls[p.Call.ID] = call{"", p.Call.Name}
			fc := provider.Body{"functionCall": provider.Body{"name": p.Call.Name, "args": provider.InputObject(p.Call.Input)}}
			if !signed && demandsSignature(model) {
				fc["thoughtSignature"] = anySignature
				signed = true
			}
			out = append(out, fc)
			said = true
		case p.Block.Kind == provider.KindText && p.Block.Text != "":
			out = append(out, textPart(p.Block.Text))
			said = true
		}
	}
	if !said {
		return nil, nil
	}
	return out, calls
}

// demandsSignature tells the models from the third generation on.
func demandsSignature(model string) bool {
	version, ok := strings.CutPrefix(strings.TrimPrefix(model, "models/"), "gemini-")
	return ok && version != "" && version[0] >= '3' && version[0] <= '9'
}

// withArgs gives a call without arguments the empty ones that it means.
func withArgs(raw []byte, n part) []byte {
	if len(n.FunctionCall.Args) > 0 && string(n.FunctionCall.Args) != "null" {
		return raw
	}
	var whole map[string]json.RawMessage
	var fc map[string]json.RawMessage
	if json.Unmarshal(raw, &whole) != nil || json.Unmarshal(whole["functionCall"], &fc) != nil {
		return raw
	}
	fc["args"] = json.RawMessage("{}")
	inner, err := provider.Encode(fc)
	if err != nil {
		return raw
	}
	whole["functionCall"] = inner
	out, err := provider.Encode(whole)
	if err != nil {
		return raw
	}
	return out
}

func cover(data []byte) (provider.Cover, bool) {
	var p part
	if json.Unmarshal(data, &p) != nil {
		return provider.Cover{}, false
	}
	switch {
	case p.FunctionCall != nil:
		return provider.Cover{CallID: p.FunctionCall.ID, CallName: p.FunctionCall.Name}, p.FunctionCall.Name != ""
	case p.Text != nil && !p.Thought:
		return provider.Cover{Text: *p.Text}, true
	}
	return provider.Cover{}, true
}
