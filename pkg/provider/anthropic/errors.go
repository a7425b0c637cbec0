// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"safebeam.dev/safebeam/pkg/provider"
)

// kinds are the error types that Anthropic documents, with their statuses: an
// error in the stream has the type alone.
var kinds = map[string]struct {
	class provider.Class
	code  int
}{
	"invalid_request_error": {provider.InvalidRequest, 400},
	"authentication_error":  {provider.Auth, 401},
	"billing_error":         {provider.QuotaExhausted, 402},
	"permission_error":      {provider.Auth, 403},
	"not_found_error":       {provider.InvalidRequest, 404},
	"conflict_error":        {provider.Internal, 409},
	"request_too_large":     {provider.ContextTooLong, 413},
	"rate_limit_error":      {provider.RateLimited, 429},
	"api_error":             {provider.Internal, 500},
	"timeout_error":         {provider.Timeout, 504},
	"overloaded_error":      {provider.Overloaded, 529},
}

// typed sorts an SDK error by its type first: one that comes inside a stream
// has status 200.
func typed(ctx context.Context, err error) *provider.Error {
	var ae *sdk.Error
	if !errors.As(err, &ae) {
		return provider.FromTransport(ctx, err)
	}
	var body struct {
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
		RequestID string `json:"request_id"`
	}
	raw := ae.RawJSON()
	_ = json.Unmarshal([]byte(raw), &body)
	h := provider.ResponseHeader(ctx)
	out := &provider.Error{Code: ae.StatusCode, Message: body.Error.Message, RequestID: body.RequestID, RetryAfter: provider.RetryAfter(h, time.Now())}
	if out.RequestID == "" {
		out.RequestID = provider.RequestID(h)
	}
	if out.Message == "" {
		out.Message = "the provider answered with no error of its own form: " + strconv.Quote(raw[:min(len(raw), 512)])
	}
	kind, known := kinds[body.Error.Type]
	switch {
	case known && ae.StatusCode < 400:
		out.Class, out.Code = kind.class, kind.code
	case known:
		out.Class = kind.class
	case ae.StatusCode >= 400:
		out.Class = provider.ClassOfStatus(ae.StatusCode)
	default:
		out.Class, out.Code = provider.Internal, 0
	}
	switch {
	case out.Class != provider.InvalidRequest:
	case provider.IsContextTooLong(out.Message):
		out.Class = provider.ContextTooLong
	case noMoney(out.Message):
		out.Class = provider.QuotaExhausted
	}
	return out
}

// noMoney tells an account that may not spend any more. Anthropic calls that an
// invalid request, billing_error notwithstanding.
func noMoney(message string) bool {
	return strings.Contains(message, "credit balance is too low") || strings.Contains(message, "API usage limits")
}
