// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// The names of the providers, as TightbeamModel.spec.provider has them.
const (
	Anthropic = "anthropic"
	OpenAI    = "openai"
	Gemini    = "gemini"
	Echo      = "echo"
)

// Provider calls one language model service.
type Provider interface {
	// Call makes one attempt. It hands events to emit in order, from the
	// goroutine that called it, each as soon as it arrived. It returns the
	// complete answer, or an *Error; never both. An error from emit ends the
	// call and is returned as it is.
	Call(ctx context.Context, req *Request, emit Emit) (*Result, error)
}

// Emit takes one event. It may block: the provider is then not read, and the
// idle watchdog does not count.
type Emit func(Event) error

// Request is all that a provider needs to know about one attempt.
type Request struct {
	// Model is the provider's own model id.
	Model string
	// System is the system prompt; empty means none.
	System   string
	Messages []Message
	Tools    []Tool
	// ToolChoice is auto, any, none or a tool's name; empty leaves it to the
	// provider.
	ToolChoice string
	// MaxTokens bounds the answer, thinking included.
	MaxTokens   int64
	Temperature *float64
	Thinking    Thinking
	// ResponseSchema is a JSON Schema that the answer must follow; empty means
	// free text.
	ResponseSchema json.RawMessage
	// Parameters is a JSON object that is passed on as it is. Fields that the
	// request itself sets win over it, and the ones that make the request what
	// it is (model, messages, tools, stream, …) may not be in it at all.
	Parameters json.RawMessage
}

// Thinking asks for reasoning before the answer: by a budget of tokens, by an
// effort in the provider's own words (low, medium, high, …), or not at all.
type Thinking struct {
	BudgetTokens int64
	Effort       string
}

// Tool is a function that the model may call.
type Tool struct {
	Name        string
	Description string
	// Schema is the JSON Schema of its input; empty means no parameters.
	Schema json.RawMessage
}

// Config is what a provider is made of.
type Config struct {
	// BaseURL replaces the provider's own address. Its path is the one that
	// the provider's SDKs take: with /v1 for OpenAI, without for the others.
	BaseURL string
	// WireFormat chooses between OpenAI's two protocols: WireResponses or
	// WireChat; empty means responses for OpenAI itself and chat elsewhere.
	WireFormat string
	Key        *Key
	// IdleTimeout is how long a provider may be silent before the attempt is
	// given up; 0 means DefaultIdleTimeout.
	IdleTimeout time.Duration
	// Base carries the requests; nil means DefaultTransport().
	Base http.RoundTripper
}

// OpenAI's two protocols.
const (
	WireResponses = "responses"
	WireChat      = "chat"
)

// DefaultIdleTimeout bounds the silence between two reads, and before the
// first. It is far above the pings and comments of those who send them; Gemini
// and most compatible servers send none, and think for minutes. A connection
// that is dead is found out sooner, by probes.
const DefaultIdleTimeout = 5 * time.Minute
