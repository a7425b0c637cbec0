// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

type gemini struct{}

func (gemini) key(r *http.Request) string { return r.Header.Get("X-Goog-Api-Key") }
func (gemini) requestIDHeader() string    { return "X-Goog-Request-Id" }
func (gemini) crlf() bool                 { return true }
func (gemini) keepAlive() []byte          { return nil }

func (gemini) refuse(e *Error) []byte {
	o := object{"code": e.Status, "message": e.Message, "status": e.Type}
	var details []any
	if e.Quota != "" {
		details = append(details, object{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []any{object{"quotaId": e.Quota}}})
	}
	if e.Reason != "" {
		details = append(details, object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": e.Reason, "domain": "googleapis.com"})
	}
	if e.RetryAfter != "" {
		details = append(details, object{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": e.RetryAfter + "s"})
	}
	if details != nil {
		o["details"] = details
	}
	if e.List {
		return encode([]object{{"error": o}})
	}
	return encode(object{"error": o})
}

func (gemini) inBand(e *InBand) frame {
	return frame{data: encode(object{"error": object{"code": e.Code, "message": e.Message, "status": e.Type}})}
}

var geminiStops = map[Stop]string{
	EndTurn: "STOP", ToolUse: "STOP", MaxTokens: "MAX_TOKENS", StopSequence: "STOP",
	Refused: "SAFETY", ContentFilter: "PROHIBITED_CONTENT", Context: "MAX_TOKENS", Pause: "OTHER",
}

func (gemini) frames(s *Server, model string, r *Reply) []frame {
	usage := func(final bool) object {
		u := object{"promptTokenCount": r.Usage.Input + r.Usage.CacheRead, "cachedContentTokenCount": r.Usage.CacheRead}
		if final {
			u["candidatesTokenCount"] = r.Usage.Output - r.Usage.Thinking
			u["thoughtsTokenCount"] = r.Usage.Thinking
			u["totalTokenCount"] = r.Usage.Input + r.Usage.CacheRead + r.Usage.Output
		}
		return u
	}
	base := func(final bool) object {
		o := object{"modelVersion": model, "responseId": "resp_fake", "usageMetadata": usage(final)}
		if r.UnknownEvents {
			o["aura"] = "blue"
		}
		return o
	}
	if r.stop() == Blocked {
		o := base(true)
		o["promptFeedback"] = object{"blockReason": "SAFETY"}
		return []frame{{data: encode(o)}}
	}
	finish := geminiStops[r.stop()]
	if r.RawStop != "" {
		finish = r.RawStop
	}
	var out []frame
	chunk := func(part object) {
		o := base(false)
		candidate := object{"index": 0, "content": object{"role": "model", "parts": []any{part}}}
		if r.Accent == AccentFinish {
			candidate["finishReason"] = finish
		}
		o["candidates"] = []any{candidate}
		out = append(out, frame{data: encode(o), delta: true})
	}
	for _, b := range r.Blocks {
		for _, part := range geminiParts(b) {
			chunk(part)
		}
		if b.Signature != "" {
			s.issued.sign(model, b64(b.Signature), signedContent(b))
		}
		if b.Kind == Tool && b.Signature != "" {
			s.issued.thought(model, b.Name+b.all(), b64(b.Signature))
		}
	}
	o := base(true)
	o["candidates"] = []any{object{"index": 0, "content": object{"role": "model", "parts": []any{object{"text": ""}}}, "finishReason": finish}}
	return append(out, frame{data: encode(o)})
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// signedContent is what a signature stands for: the part that it came on.
func signedContent(b Block) string {
	if b.Kind == Tool {
		return b.Name
	}
	if len(b.Deltas) == 0 {
		return ""
	}
	return b.Deltas[len(b.Deltas)-1]
}

func geminiParts(b Block) []object {
	var parts []object
	if b.Kind == Tool {
		call := object{"name": b.Name}
		if b.ID != "" {
			call["id"] = b.ID
		}
		if args := b.all(); args != "" {
			call["args"] = json.RawMessage(args)
		}
		parts = append(parts, object{"functionCall": call})
	} else {
		for _, d := range b.Deltas {
			part := object{"text": d}
			if b.Kind == Thinking {
				part["thought"] = true
			}
			parts = append(parts, part)
		}
	}
	if b.Signature != "" && len(parts) > 0 {
		parts[len(parts)-1]["thoughtSignature"] = b64(b.Signature)
	}
	return parts
}

// anySignature is taken for calls that another model made.
const anySignature = "skip_thought_signature_validator"

var geminiFields = fields("contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent labels")

type geminiPart struct {
	Text         *string `json:"text"`
	Thought      bool    `json:"thought"`
	Signature    string  `json:"thoughtSignature"`
	InlineData   any     `json:"inlineData"`
	FunctionCall *struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
	FunctionResponse *struct {
		ID       string          `json:"id"`
		Name     string          `json:"name"`
		Response json.RawMessage `json:"response"`
	} `json:"functionResponse"`
}

func (gemini) check(s *Server, model string, body []byte) error {
	if err := onlyFields(body, geminiFields); err != nil {
		return err
	}
	var r struct {
		Contents []struct {
			Role  string       `json:"role"`
			Parts []geminiPart `json:"parts"`
		} `json:"contents"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	if len(r.Contents) == 0 {
		return errors.New("contents is not specified")
	}
	var open []string
	for i, c := range r.Contents {
		if c.Role != "user" && c.Role != "model" {
			return fmt.Errorf("contents[%d]: Please use a valid role: user, model.", i)
		}
		if len(c.Parts) == 0 {
			return fmt.Errorf("contents[%d].parts must not be empty", i)
		}
		var answered, called []string
		for j, p := range c.Parts {
			if err := checkPart(s, model, c.Role, p); err != nil {
				return fmt.Errorf("contents[%d].parts[%d]: %w", i, j, err)
			}
			if p.FunctionResponse != nil {
				answered = append(answered, p.FunctionResponse.Name)
			}
			if p.FunctionCall == nil {
				continue
			}
			if len(called) == 0 && p.Signature == "" && strings.HasPrefix(model, "gemini-3") {
				return fmt.Errorf("contents[%d].parts[%d]: Function call is missing a thought_signature in functionCall parts", i, j)
			}
			called = append(called, p.FunctionCall.Name)
		}
		if fmt.Sprint(answered) != fmt.Sprint(open) {
			return fmt.Errorf("contents[%d]: the function response parts %v do not match the function call parts %v", i, answered, open)
		}
		open = called
	}
	if len(open) > 0 {
		return errors.New("a function call turn must be followed by function responses")
	}
	return nil
}

func checkPart(s *Server, model, role string, p geminiPart) error {
	set := 0
	for _, has := range []bool{p.Text != nil, p.InlineData != nil, p.FunctionCall != nil, p.FunctionResponse != nil} {
		if has {
			set++
		}
	}
	if set != 1 {
		return errors.New("required oneof field 'data' must have one initialized field")
	}
	content := ""
	switch {
	case p.FunctionCall != nil:
		content = p.FunctionCall.Name
		if role != "model" || !isObject(p.FunctionCall.Args) {
			return errors.New("a function call needs an object as args, in a model content")
		}
		if want := s.issued.signatureOf(model, p.FunctionCall.Name+string(p.FunctionCall.Args)); want != "" && p.Signature != want {
			return fmt.Errorf("Function call is missing a thought_signature in functionCall parts: %s", p.FunctionCall.Name)
		}
	case p.FunctionResponse != nil:
		if role != "user" || !isObject(p.FunctionResponse.Response) {
			return errors.New("a function response needs an object, in a user content")
		}
	case p.Text != nil:
		content = *p.Text
	}
	if p.Signature != "" && p.Signature != anySignature {
		return s.issued.verify(model, p.Signature, content)
	}
	return nil
}
