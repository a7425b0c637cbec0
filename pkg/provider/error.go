// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"safebeam.dev/safebeam/pkg/provider/internal/sse"
)

// Class sorts errors by what may be done about them.
type Class string

const (
	Overloaded     Class = "Overloaded"
	RateLimited    Class = "RateLimited"
	QuotaExhausted Class = "QuotaExhausted" // never retried: only money helps
	Auth           Class = "Auth"
	InvalidRequest Class = "InvalidRequest"
	ContextTooLong Class = "ContextTooLong"
	Timeout        Class = "Timeout"
	Truncated      Class = "Truncated"
	Network        Class = "Network"
	Internal       Class = "Internal"
)

// Error is a failed attempt.
type Error struct {
	Class Class
	// Code is the HTTP status where there was one, else 0. An error inside a
	// stream has the status that the provider documents for its type.
	Code    int
	Message string
	// RetryAfter is what the provider asked for; 0 means that it said nothing.
	RetryAfter time.Duration
	RequestID  string
}

func (e *Error) Error() string {
	if e.Code != 0 {
		return fmt.Sprintf("%s (%d): %s", e.Class, e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Class, e.Message)
}

// Errorf makes an *Error without a status.
func Errorf(class Class, format string, args ...any) *Error {
	return &Error{Class: class, Message: fmt.Sprintf(format, args...)}
}

// ClassOfStatus sorts an HTTP status for which the provider gave no better
// word.
func ClassOfStatus(code int) Class {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Auth
	case http.StatusPaymentRequired:
		return QuotaExhausted
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return Timeout
	case http.StatusRequestEntityTooLarge:
		return ContextTooLong
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusConflict, http.StatusTooEarly:
		// A lock of theirs: the providers' SDKs try it again too.
		return Internal
	case http.StatusBadGateway, http.StatusServiceUnavailable, 529:
		return Overloaded
	}
	if code >= 400 && code < 500 {
		return InvalidRequest
	}
	return Internal
}

// contextWords are how the providers and the compatible servers say that a
// prompt is longer than the model can read. None has a type of its own for it
// but OpenAI.
var contextWords = []string{
	"prompt is too long",
	"context_length_exceeded",
	"maximum context length",
	"context window",
	"exceeds the maximum number of tokens",
	"input token count",
	"exceed context limit",
	"maximum prompt length",    // xAI
	"available context size",   // llama.cpp
	"input is too long",        // Bedrock's gateways
	"reduce the length of the", // Groq and older OpenAI models
}

// IsContextTooLong reads the message of a refused request.
func IsContextTooLong(message string) bool {
	m := strings.ToLower(message)
	for _, w := range contextWords {
		if strings.Contains(m, w) {
			return true
		}
	}
	return false
}

// maxRetryAfter bounds what is believed of a Retry-After header: beyond it the
// number is a mistake or the quota's, and a turn's deadline has long passed.
const maxRetryAfter = 24 * time.Hour

// RetryAfter reads the headers that say when to come again: retry-after-ms,
// retry-after in seconds, or as a date. The providers' own headers of rates
// (x-ratelimit-reset-tokens, anthropic-ratelimit-requests-reset, …) are not
// read: they say when a bucket is full again, which is long after it holds
// enough for the next request.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	d := retryAfter(h, now)
	return min(max(d, 0), maxRetryAfter)
}

func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return seconds(ms / 1000)
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 {
		return seconds(s)
	}
	if t, err := http.ParseTime(v); err == nil {
		return t.Sub(now)
	}
	return 0
}

// tryAgain is how OpenAI and those who speak like it write the delay into the
// message: the only place for it where the error comes inside a stream.
var tryAgain = regexp.MustCompile(`(?i)\btry again in ((?:[0-9]+(?:\.[0-9]+)?(?:ms|h|m|s))+)(?:[^a-z]|$)`)

// RetryAfterMessage reads the delay out of an error's message; 0 if it has none.
func RetryAfterMessage(message string) time.Duration {
	m := tryAgain.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	d, err := time.ParseDuration(m[1])
	if err != nil {
		return 0
	}
	return min(max(d, 0), maxRetryAfter)
}

// seconds does not overflow for a header that says 1e300.
func seconds(s float64) time.Duration {
	if s > maxRetryAfter.Seconds() {
		return maxRetryAfter
	}
	return time.Duration(s * float64(time.Second))
}

// RequestID reads the header in which each provider names a request.
func RequestID(h http.Header) string {
	for _, name := range []string{"Request-Id", "X-Request-Id", "X-Goog-Request-Id"} {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// FromTransport turns what a connection died of into an *Error. An *Error
// passes as it is. The context decides first: a watchdog or a deadline shows as
// a broken read, and would else be called a network failure. What an SDK
// refused to send is InvalidRequest: it would be refused again. A connection
// that breaks before the provider answered is class Network; one that breaks in
// the answer makes it Truncated.
func FromTransport(ctx context.Context, err error) *Error {
	var pe *Error
	if cause := context.Cause(ctx); cause != nil && errors.As(cause, &pe) {
		return pe
	}
	if errors.As(err, &pe) {
		return pe
	}
	id := RequestID(ResponseHeader(ctx))
	if ctx.Err() != nil {
		message := "the attempt was cancelled"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			message = "the attempt's deadline passed"
		}
		return &Error{Class: Timeout, Message: message, RequestID: id}
	}
	if !sent(ctx) {
		return &Error{Class: InvalidRequest, Message: fmt.Sprintf("the request could not be made: %v", err)}
	}
	if !answered(ctx) {
		return &Error{Class: Network, Message: fmt.Sprintf("the provider could not be reached: %v", err)}
	}
	if notOfProtocol(err) {
		return &Error{Class: Internal, RequestID: id, Message: fmt.Sprintf("the provider sent what is not of its protocol: %v", err)}
	}
	return &Error{Class: Truncated, RequestID: id, Message: fmt.Sprintf("the answer broke off: %v", err)}
}

// CutOff is a stream that ended without the provider's word for its end. A
// server may end it well because we hung up, so the context decides here too;
// and what was no stream at all could not have one.
func CutOff(ctx context.Context) *Error {
	if ctx.Err() != nil {
		return FromTransport(ctx, ctx.Err())
	}
	out := &Error{Class: Truncated, RequestID: RequestID(ResponseHeader(ctx)), Message: "the answer ended without the provider's end mark"}
	if w := watchdogFrom(ctx); w != nil && len(w.head) > 0 {
		out.Class, out.Message = Internal, fmt.Sprintf("the provider answered with JSON where an event stream was asked for: %q", w.head)
	}
	return out
}

func notOfProtocol(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, bufio.ErrTooLong) || errors.Is(err, sse.ErrTooLong)
}
