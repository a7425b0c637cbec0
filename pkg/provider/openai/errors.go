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
	// Google's endpoint for OpenAI's clients puts the error into a list.
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
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
		Status  string          `json:"status"` // Google's
	}
	if json.Unmarshal(raw, &o) != nil {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		return apiError{Message: s}
	}
	e := apiError{Message: o.Message, Type: o.Type}
	if e.Type == "" {
		e.Type = o.Status
	}
	// A status may be a number, or (LiteLLM) the text of one.
	if json.Unmarshal(o.Code, &e.Code) != nil {
		e.Code = string(o.Code)
	}
	if n, err := strconv.Atoi(e.Code); err == nil {
		e.Status, e.Code = n, ""
	}
	if e.Message == "" {
		e.Message = string(raw)
	}
	return e
}

// classes of OpenAI's error codes and types, the more telling first.
var classes = map[string]provider.Class{
	"insufficient_quota":           provider.QuotaExhausted,
	"billing_hard_limit_reached":   provider.QuotaExhausted,
	"billing_not_active":           provider.QuotaExhausted,
	"context_length_exceeded":      provider.ContextTooLong,
	"rate_limit_exceeded":          provider.RateLimited,
	"rate_limit_error":             provider.RateLimited,
	"tokens":                       provider.RateLimited,
	"requests":                     provider.RateLimited,
	"server_error":                 provider.Internal,
	"server_is_overloaded":         provider.Overloaded,
	"overloaded_error":             provider.Overloaded,
	"slow_down":                    provider.Overloaded,
	"service_unavailable":          provider.Overloaded,
	"vector_store_timeout":         provider.Timeout,
	"invalid_api_key":              provider.Auth,
	"authentication_error":         provider.Auth,
	"permission_error":             provider.Auth,
	"invalid_prompt":               provider.InvalidRequest,
	"invalid_request_error":        provider.InvalidRequest,
	"model_not_found":              provider.InvalidRequest,
	"exceeded_current_quota_error": provider.QuotaExhausted, // Moonshot's
	"exceed_context_size_error":    provider.ContextTooLong, // llama.cpp's
	"RESOURCE_EXHAUSTED":           provider.RateLimited,    // Google's
	"UNAVAILABLE":                  provider.Overloaded,
	// What a failed response may say besides: the next attempt would say the
	// same.
	"data_residency_mismatch":        provider.InvalidRequest,
	"bio_policy":                     provider.InvalidRequest,
	"misalignment_policy_violation":  provider.InvalidRequest,
	"invalid_image":                  provider.InvalidRequest,
	"invalid_image_format":           provider.InvalidRequest,
	"invalid_base64_image":           provider.InvalidRequest,
	"invalid_image_url":              provider.InvalidRequest,
	"image_too_large":                provider.InvalidRequest,
	"image_too_small":                provider.InvalidRequest,
	"image_parse_error":              provider.InvalidRequest,
	"image_content_policy_violation": provider.InvalidRequest,
	"invalid_image_mode":             provider.InvalidRequest,
	"image_file_too_large":           provider.InvalidRequest,
	"unsupported_image_media_type":   provider.InvalidRequest,
	"empty_image_file":               provider.InvalidRequest,
	"failed_to_download_image":       provider.InvalidRequest,
	"image_file_not_found":           provider.InvalidRequest,
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
	case ok && telling(byCode):
		out.Class = byCode
	case okType && telling(byType):
		out.Class = byType
	case status >= 400:
		out.Class = provider.ClassOfStatus(status)
	case ok:
		out.Class = byCode
	case okType:
		out.Class = byType
	default:
		out.Class = provider.Internal
	}
	if out.RetryAfter == 0 && (out.Class == provider.RateLimited || out.Class == provider.Overloaded) {
		out.RetryAfter = provider.RetryAfterMessage(e.Message)
	}
	if (out.Class == provider.InvalidRequest || out.Class == provider.Internal) && provider.IsContextTooLong(e.Message) {
		out.Class = provider.ContextTooLong
	}
	return out
}

// telling tells whether a class from a code or type says more than the HTTP
// status does: invalid_request_error and server_error come with any.
func telling(c provider.Class) bool { return c != provider.InvalidRequest && c != provider.Internal }

// refused reads an answer with an error's status.
func refused(status int, h http.Header, body []byte) *provider.Error {
	e, ok := parseError(body)
	if !ok {
		e.Message = "the provider answered with no error of its own form: " + strconv.Quote(string(body[:min(len(body), 512)]))
	}
	return e.typed(status, h)
}
