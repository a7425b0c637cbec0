// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Body is a JSON object on its way to a provider.
type Body map[string]any

// Merge puts b over the parameters of a model, field by field and object by
// object: what the turn sets wins. A reserved name in the parameters is an
// error, since it would make another request of this one.
func (b Body) Merge(parameters json.RawMessage, reserved ...string) (Body, error) {
	if len(bytes.TrimSpace(parameters)) == 0 {
		return b, nil
	}
	var params map[string]json.RawMessage
	if err := json.Unmarshal(parameters, &params); err != nil {
		return nil, Errorf(InvalidRequest, "parameters are not a JSON object: %v", err)
	}
	for _, name := range reserved {
		if _, ok := params[name]; ok {
			return nil, Errorf(InvalidRequest, "parameters must not set %q", name)
		}
	}
	return over(params, b), nil
}

func over(params map[string]json.RawMessage, b Body) Body {
	out := Body{}
	for k, v := range params {
		out[k] = v
	}
	for k, v := range b {
		if inner, ok := v.(Body); ok {
			var below map[string]json.RawMessage
			if json.Unmarshal(params[k], &below) == nil && below != nil {
				v = over(below, inner)
			}
		}
		out[k] = v
	}
	return out
}

// Encode renders v without HTML escapes, so that raw JSON within it keeps its
// bytes, and with sorted keys, so that the same value gives the same bytes.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, Errorf(InvalidRequest, "the request cannot be rendered: %v", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// InputObject is a tool call's input as a JSON object: {} for an empty one,
// and for one that was cut off an object that shows what there was, since
// providers take nothing but objects.
func InputObject(input string) json.RawMessage {
	trimmed := strings.TrimSpace(input)
	if trimmed == "" || trimmed == "null" {
		return json.RawMessage("{}")
	}
	if trimmed[0] == '{' && json.Valid([]byte(trimmed)) {
		return json.RawMessage(trimmed)
	}
	raw, err := Encode(Body{"invalid_json": strings.ToValidUTF8(input, "\uFFFD")})
	if err != nil {
		return json.RawMessage("{}")
	}
	return raw
}

// ToolSchema is a tool's input schema; every provider wants an object.
func ToolSchema(t Tool) json.RawMessage {
	if len(bytes.TrimSpace(t.Schema)) == 0 {
		return json.RawMessage(`{"type":"object","properties":{}}`)
	}
	return t.Schema
}

// CheckTools finds what no provider would accept, before one is asked.
func CheckTools(req *Request) error {
	for _, t := range req.Tools {
		if !json.Valid(ToolSchema(t)) {
			return Errorf(InvalidRequest, "the schema of tool %q is not JSON", t.Name)
		}
	}
	if len(req.ResponseSchema) > 0 && !json.Valid(req.ResponseSchema) {
		return Errorf(InvalidRequest, "the response schema is not JSON")
	}
	switch req.ToolChoice {
	case "", "auto", "none":
		return nil
	case "any":
		if len(req.Tools) == 0 {
			return Errorf(InvalidRequest, "tool choice any needs a tool")
		}
		return nil
	}
	if !slices.ContainsFunc(req.Tools, func(t Tool) bool { return t.Name == req.ToolChoice }) {
		return Errorf(InvalidRequest, "tool choice %q is none of auto, any, none or the turn's tools", req.ToolChoice)
	}
	return nil
}
