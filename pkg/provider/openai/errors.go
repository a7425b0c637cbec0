// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
)

// apiError is OpenAI's error object, in all the forms that compatible servers
// give it: an object in "error", a string in "error", FastAPI's "detail", or
// the object's own fields at the top.
type apiError struct {
	Message string
	Type    string
	Code    string
	// Status is an HTTP status in "code", as OpenRouter and vLLM have it.
	Status int
}

func parseError(body []byte) (apiError, bool) {
	var top struct {
		Error   json.RawMessage `json:"error"`
		Detail  json.RawMessage `json:"detail"`
		Object  string          `json:"object"`
		Type    string          `json:"type"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(body, &top) != nil {
		return apiError{}, false
	}
	switch {
	case present(top.Error):
		return parseObject(top.Error), true
	case present(top.Detail):
		return parseObject(top.Detail), true
	case (top.Object == "error" || top.Type == "error") && top.Message != "":
		return parseObject(body), true
	}
	return apiError{}, false
}

func present(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

func parseObject(raw json.RawMessage) apiError {
	var o struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Code    json.RawMessage `json:"code"`
	}
	if json.Unmarshal(raw, &o) != nil {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		return apiError{Message: s}
	}
	e := apiError{Message: o.Message, Type: o.Type}
	if n, err := strconv.Atoi(string(o.Code)); err == nil {
		e.Status = n
	} else {
		_ = json.Unmarshal(o.Code, &e.Code)
	}
	if e.Message == "" {
		e.Message = string(raw)
	}
	return e
}

// classes of OpenAI's error codes and types, the more telling first.
var classes = map[string]provider.Class{
	"insufficient_quota":         provider.QuotaExhausted,
	"billing_hard_limit_reached": provider.QuotaExhausted,
	"billing_not_active":         provider.QuotaExhausted,
	"context_length_exceeded":    provider.ContextTooLong,
	"rate_limit_exceeded":        provider.RateLimited,
	"rate_limit_error":           provider.RateLimited,
	"tokens":                     provider.RateLimited,
	"requests":                   provider.RateLimited,
	"server_error":               provider.Internal,
	"server_is_overloaded":       provider.Overloaded,
	"overloaded_error":           provider.Overloaded,
	"slow_down":                  provider.Overloaded,
	"service_unavailable":        provider.Overloaded,
	"vector_store_timeout":       provider.Timeout,
	"invalid_api_key":            provider.Auth,
	"authentication_error":       provider.Auth,
	"permission_error":           provider.Auth,
	"invalid_prompt":             provider.InvalidRequest,
	"invalid_request_error":      provider.InvalidRequest,
	"model_not_found":            provider.InvalidRequest,
}

// typed makes the *provider.Error. Status 200 or 0 means that the error came
// inside a stream.
func (e apiError) typed(status int, h http.Header) *provider.Error {
	if e.Status >= 400 && e.Status < 600 && status < 400 {
		status = e.Status
	}
	out := &provider.Error{Message: e.Message, RequestID: provider.RequestID(h), RetryAfter: provider.RetryAfter(h, time.Now())}
	if status >= 400 {
		out.Code = status
	}
	byCode, ok := classes[e.Code]
	byType, okType := classes[e.Type]
	switch {
	case ok && byCode != provider.InvalidRequest:
		out.Class = byCode
	case okType && byType != provider.InvalidRequest:
		out.Class = byType
	case status >= 400:
		out.Class = provider.ClassOfStatus(status)
	case ok || okType:
		out.Class = provider.InvalidRequest
	default:
		out.Class = provider.Internal
	}
	if (out.Class == provider.InvalidRequest || out.Class == provider.Internal) && provider.IsContextTooLong(e.Message) {
		out.Class = provider.ContextTooLong
	}
	return out
}

// refused reads an answer with an error's status.
func refused(status int, h http.Header, body []byte) *provider.Error {
	e, ok := parseError(body)
	if !ok {
		e.Message = "the provider answered with no error of its own form: " + strconv.Quote(string(body[:min(len(body), 512)]))
	}
	return e.typed(status, h)
}
