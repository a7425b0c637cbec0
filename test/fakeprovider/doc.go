// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fakeprovider speaks the wire protocols of the language model
// providers, from the provider's side: Anthropic Messages, OpenAI Responses,
// OpenAI Chat Completions and Gemini. Unit tests, end-to-end tests and
// benchmarks share it.
//
// It refuses what the real services refuse (a tool result without its call, a
// thinking block whose signature was not made for it, a fifth cache
// breakpoint, …), records every request, and answers each with a scripted
// Reply, which may misbehave in the ways that networks and providers do.
//
// Replies come from, in this order: Enqueue, On for the request's model,
// Default, a model name of the form paced-DELTASxBYTES@PERSECOND (see ParsePace), and
// else the answer "ok".
//
//	POST /v1/messages                                Anthropic
//	POST /v1/responses                               OpenAI Responses
//	POST /v1/chat/completions                        OpenAI Chat Completions
//	POST /v1beta/models/MODEL:streamGenerateContent  Gemini
//	GET  /requests                                   how many requests came
package fakeprovider
