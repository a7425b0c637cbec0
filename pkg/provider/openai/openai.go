// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package openai calls OpenAI and everything that speaks like it, by one of two
// protocols: Responses, through the official SDK's responses package, and Chat
// Completions, by hand.
//
// The history is ours, so nothing is stored at the provider: store is false,
// reasoning comes back encrypted as native blocks and is sent again unchanged.
//
// Chat Completions is what vLLM, Ollama, DeepSeek and others speak, each with
// an accent; chat_stream.go says which. The SDK's root package is never
// imported: it takes minutes to compile, and knows none of the accents.
package openai

import (
	"net/url"
	"strings"

	"safebeam.dev/safebeam/pkg/provider"
)

// DefaultBaseURL is OpenAI itself.
const DefaultBaseURL = "https://api.openai.com/v1"

// New makes the provider that cfg's wire format names; without one, Responses
// for OpenAI itself and Chat Completions for any other address.
func New(cfg provider.Config) (provider.Provider, error) {
	wire := cfg.WireFormat
	if wire == "" {
		wire = provider.WireResponses
		if cfg.BaseURL != "" && !isOpenAI(cfg.BaseURL) {
			wire = provider.WireChat
		}
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	client, err := cfg.Client(cfg.BaseURL, provider.Credential{Header: "Authorization", Prefix: "Bearer "})
	if err != nil {
		return nil, err
	}
	switch wire {
	case provider.WireChat:
		return newChat(cfg, client)
	case provider.WireResponses:
		return newResponses(cfg, client), nil
	}
	return nil, provider.Errorf(provider.InvalidRequest, "wireFormat %q is none of %q and %q", wire, provider.WireResponses, provider.WireChat)
}

// isOpenAI tells OpenAI's own address, or one of its regions'.
func isOpenAI(base string) bool {
	host := hostname(base)
	return host == "api.openai.com" || strings.HasSuffix(host, ".api.openai.com")
}

// ownModels tells the addresses where OpenAI's own models are: Azure's too.
func ownModels(base string) bool {
	return isOpenAI(base) || strings.HasSuffix(hostname(base), ".openai.azure.com")
}

func hostname(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// effort is the thinking of a request in OpenAI's terms.
func effort(req *provider.Request) (string, error) {
	if req.Thinking.BudgetTokens > 0 {
		return "", provider.Errorf(provider.InvalidRequest, "thinking.budgetTokens has no form in OpenAI's protocols: use thinking.effort")
	}
	return req.Thinking.Effort, nil
}
