// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package echo is a model that answers by itself: no network, no secret. It is
// for first steps, tests and benchmarks.
//
// Without parameters it repeats the text of the last message, one delta a
// word. The parameters of the model change that; all of them may be combined,
// and the same request always gives the same answer:
//
//	answer       string   say this instead
//	deltas       int      say this many pieces of deltaBytes letters instead
//	deltaBytes   int      default 20
//	delayMillis  int      wait this long before every delta
//	thinking     string   think this first
//	toolCalls    [{name, input}]  then call these tools
//	fail         {class, message, afterDeltas, code, retryAfterMillis}
//	                      fail with that class once so many deltas are out
//	stopReason   string   end with this raw stop reason
//
// A delta is a token: what is beyond the request's MaxTokens is not said.
// Once a tool has answered, the last message is its result, and toolCalls are
// not made again: a tool loop ends.
package echo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"safebeam.dev/safebeam/pkg/provider"
)

type parameters struct {
	Answer      *string    `json:"answer"`
	Deltas      int        `json:"deltas"`
	DeltaBytes  int        `json:"deltaBytes"`
	DelayMillis int        `json:"delayMillis"`
	Thinking    string     `json:"thinking"`
	ToolCalls   []toolCall `json:"toolCalls"`
	Fail        *failure   `json:"fail"`
	StopReason  string     `json:"stopReason"`
}

type toolCall struct {
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

type failure struct {
	Class            provider.Class `json:"class"`
	Message          string         `json:"message"`
	AfterDeltas      int            `json:"afterDeltas"`
	Code             int            `json:"code"`
	RetryAfterMillis int64          `json:"retryAfterMillis"`
}

// Bounds of what parameters may ask for: the answer has to fit a message.
const (
	maxDeltas     = 1_000_000
	maxDeltaBytes = 1 << 20
	maxAnswer     = 32 << 20
)

type echo struct{}

// New makes the provider.
func New() provider.Provider { return echo{} }

// Call implements provider.Provider.
func (echo) Call(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
	p, err := parse(req.Parameters)
	if err != nil {
		return nil, err
	}
	run := &run{ctx: ctx, p: p, answer: provider.NewAnswer(provider.Echo, req.Model, emit)}
	return run.do(req)
}

func parse(raw json.RawMessage) (parameters, error) {
	p := parameters{DeltaBytes: 20}
	if len(raw) > 0 {
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			return p, provider.Errorf(provider.InvalidRequest, "parameters of echo: %v", err)
		}
	}
	if p.Deltas < 0 || p.Deltas > maxDeltas || p.DeltaBytes < 1 || p.DeltaBytes > maxDeltaBytes || p.Deltas*p.DeltaBytes > maxAnswer {
		return p, provider.Errorf(provider.InvalidRequest, "parameters of echo: deltas and deltaBytes make an answer above %d bytes", maxAnswer)
	}
	if p.DelayMillis < 0 {
		return p, provider.Errorf(provider.InvalidRequest, "parameters of echo: delayMillis is negative")
	}
	return p, nil
}

type run struct {
	ctx    context.Context
	p      parameters
	answer *provider.Answer
	sent   int
}

func (r *run) do(req *provider.Request) (*provider.Result, error) {
	input := int64(len(words(req.System)))
	for _, m := range req.Messages {
		input += int64(len(words(provider.PlainText(m.Content))))
	}
	last := provider.Message{}
	if n := len(req.Messages); n > 0 {
		last = req.Messages[n-1]
	}
	if err := r.block(provider.KindThinking, words(r.p.Thinking)); err != nil {
		return nil, err
	}
	thought := r.sent
	pieces, stop, raw := r.pieces(provider.PlainText(last.Content)), provider.StopEndTurn, "end_turn"
	if req.MaxTokens > 0 && int64(len(pieces)) > req.MaxTokens {
		pieces, stop, raw = pieces[:req.MaxTokens], provider.StopMaxTokens, "max_tokens"
	}
	if err := r.block(provider.KindText, pieces); err != nil {
		return nil, err
	}
	if len(r.p.ToolCalls) > 0 && last.Role != provider.RoleTool {
		stop, raw = provider.StopToolUse, "tool_use"
		if err := r.tools(len(req.Messages)); err != nil {
			return nil, err
		}
	}
	if r.p.Fail != nil {
		return nil, r.fail()
	}
	if r.p.StopReason != "" {
		stop, raw = stopReason(r.p.StopReason), r.p.StopReason
	}
	if err := r.answer.Usage(provider.Usage{InputTokens: input, OutputTokens: int64(r.sent), ThinkingTokens: int64(thought)}); err != nil {
		return nil, err
	}
	return r.answer.Finish(stop, raw, "")
}

func (r *run) pieces(said string) []string {
	switch {
	case r.p.Deltas > 0:
		out := make([]string, r.p.Deltas)
		for i := range out {
			out[i] = piece(i, r.p.DeltaBytes)
		}
		return out
	case r.p.Answer != nil:
		return words(*r.p.Answer)
	}
	return words(said)
}

// piece is numbered, so that a lost or doubled delta shows.
func piece(i, size int) string {
	s := fmt.Sprintf("%d ", i)
	if len(s) > size {
		return s[len(s)-size:]
	}
	return strings.Repeat(".", size-len(s)) + s
}

func (r *run) block(kind provider.BlockKind, pieces []string) error {
	if len(pieces) == 0 {
		return nil
	}
	b, err := r.answer.Start(kind)
	if err != nil {
		return err
	}
	for _, s := range pieces {
		if err := r.write(b, s); err != nil {
			return err
		}
	}
	return b.Stop()
}

func (r *run) tools(turn int) error {
	for i, c := range r.p.ToolCalls {
		b, err := r.answer.StartTool(fmt.Sprintf("echo_%d_%d", turn, i), c.Name)
		if err != nil {
			return err
		}
		if err := r.write(b, string(c.Input)); err != nil {
			return err
		}
		if err := b.Stop(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) write(b *provider.Open, s string) error {
	if f := r.p.Fail; f != nil && r.sent >= f.AfterDeltas {
		return r.fail()
	}
	if d := time.Duration(r.p.DelayMillis) * time.Millisecond; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.ctx.Done():
		}
	}
	if r.ctx.Err() != nil {
		return provider.FromTransport(r.ctx, r.ctx.Err())
	}
	r.sent++
	return b.Write(s)
}

func (r *run) fail() error {
	f := r.p.Fail
	e := &provider.Error{Class: f.Class, Message: f.Message, Code: f.Code, RetryAfter: time.Duration(f.RetryAfterMillis) * time.Millisecond}
	if e.Class == "" {
		e.Class = provider.Internal
	}
	if e.Message == "" {
		e.Message = "echo was told to fail"
	}
	return e
}

var stopReasons = map[string]provider.StopReason{
	"end_turn": provider.StopEndTurn, "max_tokens": provider.StopMaxTokens, "stop_sequence": provider.StopSequence,
	"tool_use": provider.StopToolUse, "refusal": provider.StopRefusal, "pause_turn": provider.StopPaused,
}

func stopReason(raw string) provider.StopReason {
	if s, ok := stopReasons[raw]; ok {
		return s
	}
	return provider.StopOther
}

// words splits text after each run of white space, so that the pieces make the
// text again.
func words(s string) []string {
	var out []string
	start, space := 0, false
	for i, c := range s {
		if space && !unicode.IsSpace(c) {
			out = append(out, s[start:i])
			start = i
		}
		space = unicode.IsSpace(c)
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	if !utf8.ValidString(s) {
		return []string{strings.ToValidUTF8(s, "\uFFFD")}
	}
	return out
}
