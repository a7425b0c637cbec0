// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	sdk "github.com/openai/openai-go/v3/responses"

	"safebeam.dev/safebeam/pkg/provider"
)

// responses speaks the Responses protocol through the official SDK. The SDK
// sends and decodes; the body is rendered here, since items have to go back
// unchanged and the parameters of a model are free.
type responses struct {
	cfg     provider.Config
	service sdk.ResponseService
}

func newResponses(cfg provider.Config, client *http.Client) *responses {
	return &responses{cfg: cfg, service: sdk.NewResponseService(
		option.WithBaseURL(cfg.BaseURL),
		option.WithHTTPClient(client),
		option.WithMaxRetries(0),
	)}
}

// Call implements provider.Provider.
func (r *responses) Call(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
	body, err := renderResponses(req)
	if err != nil {
		return nil, err
	}
	return r.cfg.Attempt(ctx, func(ctx context.Context) (*provider.Result, error) {
		return r.call(ctx, req.Model, body, emit)
	})
}

func (r *responses) call(ctx context.Context, model string, body []byte, emit provider.Emit) (*provider.Result, error) {
	stream := r.service.NewStreaming(ctx, sdk.ResponseNewParams{}, option.WithRequestBody("application/json", body))
	defer stream.Close()
	s := &itemStream{answer: provider.NewAnswer(provider.OpenAI, model, emit), items: map[int64]*item{}, header: provider.ResponseHeader(ctx)}
	for stream.Next() {
		done, err := s.event(stream.Current())
		if err != nil {
			return nil, err
		}
		if done {
			return s.result()
		}
	}
	if err := stream.Err(); err != nil {
		return nil, typed(ctx, err)
	}
	return nil, provider.CutOff(ctx)
}

func typed(ctx context.Context, err error) *provider.Error {
	h := provider.ResponseHeader(ctx)
	if status, body := provider.Refusal(ctx); status != 0 {
		return refused(status, h, body)
	}
	var se *ssestream.StreamError
	if errors.As(err, &se) {
		e, ok := parseError(se.Event.Data)
		if !ok {
			e.Message = string(se.Event.Data)
		}
		return e.typed(0, h)
	}
	return provider.FromTransport(ctx, err)
}

// itemStream puts an answer together from the events of a response.
type itemStream struct {
	answer *provider.Answer
	header http.Header
	items  map[int64]*item

	id       string
	reasoned bool // a reasoning item came: what follows must go back with it
	lost     bool // one came that cannot go back: what follows must not name it
	called   bool
	refused  bool
	status   string
	reason   string // of an incomplete response
}

// item is an output item while it streams.
type item struct {
	block   *provider.Open
	summary int64 // the part of the summary that is being written
}

// event returns true for the terminal one.
func (s *itemStream) event(ev sdk.ResponseStreamEventUnion) (bool, error) {
	switch ev.Type {
	case "response.created", "response.in_progress", "response.queued":
		s.id = ev.Response.ID
	case "response.output_item.added":
		return false, s.added(ev.OutputIndex, ev.Item.RawJSON())
	case "response.output_text.delta":
		return false, s.write(ev.OutputIndex, provider.KindText, ev.Delta)
	case "response.refusal.delta":
		s.refused = true
		return false, s.write(ev.OutputIndex, provider.KindText, ev.Delta)
	case "response.reasoning_summary_text.delta":
		return false, s.summary(ev.OutputIndex, ev.SummaryIndex, ev.Delta)
	case "response.reasoning_text.delta":
		return false, s.write(ev.OutputIndex, provider.KindThinking, ev.Delta)
	case "response.function_call_arguments.delta":
		if it := s.items[ev.OutputIndex]; it != nil && it.block != nil {
			return false, it.block.Write(ev.Delta)
		}
	case "response.output_item.done":
		return false, s.done(ev.OutputIndex, ev.Item.RawJSON())
	case "response.completed", "response.incomplete":
		return true, s.end(ev.Response.RawJSON())
	case "response.failed":
		return true, s.failed(ev.Response.RawJSON())
	case "error":
		return true, s.typed(apiError{Code: ev.Code, Message: ev.Message})
	}
	return false, nil
}

func (s *itemStream) typed(e apiError) *provider.Error {
	out := e.typed(0, s.header)
	if out.RequestID == "" {
		out.RequestID = s.id
	}
	return out
}

// outputItem is what we need to know of an item; the rest stays in its bytes.
type outputItem struct {
	Type      string          `json:"type"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Encrypted string          `json:"encrypted_content"`
	Phase     json.RawMessage `json:"phase"`
	Content   []struct {
		Type        string            `json:"type"`
		Text        string            `json:"text"`
		Refusal     string            `json:"refusal"`
		Annotations []json.RawMessage `json:"annotations"`
	} `json:"content"`
	Summary []struct {
		Text string `json:"text"`
	} `json:"summary"`
}

func (o outputItem) text() string {
	var text string
	for _, c := range o.Content {
		text += c.Text + c.Refusal
	}
	return text
}

// summary is the parts of a reasoning summary as paragraphs.
func (o outputItem) summary() string {
	var parts []string
	for _, p := range o.Summary {
		parts = append(parts, p.Text)
	}
	return strings.Join(parts, "\n\n")
}

func (s *itemStream) added(index int64, raw string) error {
	var o outputItem
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		return provider.Errorf(provider.Internal, "the provider sent an item that is none: %v", err)
	}
	// An item that never ends is kept, too.
	if err := s.answer.Hold(len(raw)); err != nil {
		return err
	}
	it := &item{}
	s.items[index] = it
	if o.Type != "function_call" {
		return nil
	}
	s.called = true
	var err error
	it.block, err = s.answer.StartTool(o.CallID, o.Name)
	return err
}

func (s *itemStream) write(index int64, kind provider.BlockKind, text string) error {
	it := s.items[index]
	if it == nil || text == "" {
		return nil
	}
	if it.block == nil {
		var err error
		if it.block, err = s.answer.Start(kind); err != nil {
			return err
		}
	}
	return it.block.Write(text)
}

// summary writes the parts of a reasoning summary as paragraphs.
func (s *itemStream) summary(index, part int64, text string) error {
	if it := s.items[index]; it != nil && part != it.summary {
		it.summary = part
		if it.block != nil {
			text = "\n\n" + text
		}
	}
	return s.write(index, provider.KindThinking, text)
}

// done closes an item, fills in what did not stream, and keeps the item as a
// native block where it has to go back as it is.
func (s *itemStream) done(index int64, raw string) error {
	var o outputItem
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		return provider.Errorf(provider.Internal, "the provider sent an item that is none: %v", err)
	}
	if s.items[index] == nil {
		if err := s.added(index, raw); err != nil {
			return err
		}
	}
	it := s.items[index]
	delete(s.items, index)
	keep := true
	var err error
	switch o.Type {
	case "message":
		if it.block == nil {
			err = s.fill(it, provider.KindText, o.text())
		}
		keep = !s.lost && (s.reasoned || len(o.Phase) > 0 || annotated(o))
		for _, c := range o.Content {
			s.refused = s.refused || c.Type == "refusal"
		}
	case "function_call":
		if it.block.Len() == 0 {
			err = it.block.Write(o.Arguments)
		}
		keep = !s.lost
	case "reasoning":
		if it.block == nil {
			err = s.fill(it, provider.KindThinking, o.summary())
		}
		// Without its encrypted content the provider could only look the
		// item up, and it was told to store nothing.
		keep = o.Encrypted != ""
		s.reasoned, s.lost = s.reasoned || keep, s.lost || !keep
	}
	if err != nil {
		return err
	}
	if it.block == nil {
		if it.block, err = s.answer.Place(); err != nil {
			return err
		}
	}
	if keep {
		if err := it.block.SetNative([]byte(raw)); err != nil {
			return err
		}
	}
	return it.block.Stop()
}

func (s *itemStream) fill(it *item, kind provider.BlockKind, text string) error {
	if text == "" {
		return nil
	}
	var err error
	if it.block, err = s.answer.Start(kind); err != nil {
		return err
	}
	return it.block.Write(text)
}

func annotated(o outputItem) bool {
	for _, c := range o.Content {
		if len(c.Annotations) > 0 {
			return true
		}
	}
	return false
}

type response struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	Incomplete *struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Usage *struct {
		Input        int64 `json:"input_tokens"`
		Output       int64 `json:"output_tokens"`
		InputDetails struct {
			Cached     int64 `json:"cached_tokens"`
			CacheWrite int64 `json:"cache_write_tokens"`
		} `json:"input_tokens_details"`
		OutputDetails struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	} `json:"usage"`
}

func (s *itemStream) end(raw string) error {
	var r response
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		return provider.Errorf(provider.Internal, "the provider's response is none: %v", err)
	}
	if s.status = r.Status; s.id == "" {
		s.id = r.ID
	}
	if r.Incomplete != nil {
		s.reason = r.Incomplete.Reason
	}
	return s.count(r)
}

func (s *itemStream) count(r response) error {
	u := r.Usage
	if u == nil {
		return nil
	}
	return s.answer.Usage(provider.Usage{
		InputTokens:      max(u.Input-u.InputDetails.Cached-u.InputDetails.CacheWrite, 0),
		OutputTokens:     u.Output,
		CacheReadTokens:  u.InputDetails.Cached,
		CacheWriteTokens: u.InputDetails.CacheWrite,
		ThinkingTokens:   u.OutputDetails.Reasoning,
	})
}

func (s *itemStream) failed(raw string) error {
	var r response
	_ = json.Unmarshal([]byte(raw), &r)
	// What failed may have cost something all the same.
	if err := s.count(r); err != nil {
		return err
	}
	e := apiError{Message: "the response failed without a word"}
	if r.Error != nil {
		e.Code, e.Message = r.Error.Code, r.Error.Message
	}
	return s.typed(e)
}

func (s *itemStream) result() (*provider.Result, error) {
	id := provider.RequestID(s.header)
	if id == "" {
		id = s.id
	}
	raw := s.reason
	if raw == "" {
		raw = s.status
	}
	return s.answer.Finish(s.stopReason(), raw, id)
}

func (s *itemStream) stopReason() provider.StopReason {
	switch {
	case s.reason == "max_output_tokens":
		return provider.StopMaxTokens
	case s.reason == "content_filter":
		return provider.StopContentFilter
	case s.reason != "" || s.status != "completed":
		return provider.StopOther
	case s.called:
		return provider.StopToolUse
	case s.refused:
		return provider.StopRefusal
	}
	return provider.StopEndTurn
}
