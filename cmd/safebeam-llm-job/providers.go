// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/anthropic"
	"safebeam.dev/safebeam/pkg/provider/echo"
	"safebeam.dev/safebeam/pkg/provider/gemini"
	"safebeam.dev/safebeam/pkg/provider/openai"
)

// factory makes providers over one pool of connections.
func factory(base http.RoundTripper) func(string, provider.Config) (provider.Provider, error) {
	return func(name string, cfg provider.Config) (provider.Provider, error) {
		cfg.Base = base
		switch name {
		case provider.Anthropic:
			return anthropic.New(cfg)
		case provider.OpenAI:
			return openai.New(cfg)
		case provider.Gemini:
			return gemini.New(cfg)
		case provider.Echo:
			return echo.New(), nil
		}
		return nil, provider.Errorf(provider.InvalidRequest, "provider %q is none of %q, %q, %q, %q",
			name, provider.Anthropic, provider.OpenAI, provider.Gemini, provider.Echo)
	}
}
