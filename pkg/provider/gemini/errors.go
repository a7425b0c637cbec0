// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genai"

	"safebeam.dev/safebeam/pkg/provider"
)

// typed sorts an SDK error by Google's status word, then by the HTTP status.
func typed(ctx context.Context, err error) *provider.Error {
	var ae genai.APIError
	if !errors.As(err, &ae) {
		return provider.FromTransport(ctx, err)
	}
	if status, body := provider.Refusal(ctx); status != 0 {
		ae = listed(ae, body)
	}
	h := provider.ResponseHeader(ctx)
	out := &provider.Error{Class: class(ae), Code: ae.Code, Message: ae.Message,
		RequestID: provider.RequestID(h), RetryAfter: provider.RetryAfter(h, time.Now())}
	if d := retryDelay(ae.Details); d > 0 {
		out.RetryAfter = d
	}
	if out.Message == "" {
		out.Message = "the provider answered with an error and no message"
	}
	return out
}

// listed reads an error that comes in a list, as streaming methods write it,
// and that the SDK takes for plain text.
func listed(ae genai.APIError, body []byte) genai.APIError {
	var list []struct {
		Error *genai.APIError `json:"error"`
	}
	if json.Unmarshal(body, &list) != nil || len(list) == 0 || list[0].Error == nil {
		return ae
	}
	e := *list[0].Error
	if e.Code == 0 {
		e.Code = ae.Code
	}
	return e
}

func class(e genai.APIError) provider.Class {
	switch {
	case e.Code == 400 && strings.Contains(fmt.Sprint(e.Details)+e.Message, "API_KEY_INVALID"),
		e.Code == 400 && strings.Contains(e.Message, "API key not valid"):
		return provider.Auth
	case e.Code == 400 && provider.IsContextTooLong(e.Message):
		return provider.ContextTooLong
	case e.Code == 429 && perDay(e.Details):
		return provider.QuotaExhausted
	}
	switch e.Status {
	case "RESOURCE_EXHAUSTED":
		return provider.RateLimited
	case "UNAVAILABLE":
		return provider.Overloaded
	case "DEADLINE_EXCEEDED":
		return provider.Timeout
	case "UNAUTHENTICATED", "PERMISSION_DENIED":
		return provider.Auth
	case "INTERNAL", "UNKNOWN", "DATA_LOSS", "ABORTED", "CANCELLED":
		// Nobody here cancelled or wrote: the last two are the service's own
		// state, whatever range their HTTP status is from.
		return provider.Internal
	}
	return provider.ClassOfStatus(e.Code)
}

// retryDelay is what google.rpc.RetryInfo says.
func retryDelay(details []map[string]any) time.Duration {
	for _, d := range details {
		if s, ok := d["retryDelay"].(string); ok {
			if v, err := time.ParseDuration(s); err == nil && v > 0 {
				return min(v, 24*time.Hour)
			}
		}
	}
	return 0
}

// perDay tells a quota that is used up for today from a rate: its violations
// name it.
func perDay(details []map[string]any) bool {
	for _, d := range details {
		violations, _ := d["violations"].([]any)
		for _, v := range violations {
			if m, ok := v.(map[string]any); ok && strings.Contains(fmt.Sprint(m["quotaId"]), "PerDay") {
				return true
			}
		}
	}
	return false
}
