// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gemini calls the Gemini API through the official SDK.
//
// The SDK builds the address, sends, and types the answers and errors. The body
// is rendered here and handed to it whole. The parts of an answer are read from
// their bytes, since the SDK decodes a function's arguments as floating point
// numbers, which no identifier of 18 digits survives.
//
// A model's parameters are merged with the top of the body: sampling options
// belong below generationConfig there.
package gemini

import (
	"context"
	"encoding/json"
	"net/http"

	"google.golang.org/genai"

	"safebeam.dev/safebeam/pkg/provider"
)

// DefaultBaseURL is Google itself.
const DefaultBaseURL = "https://generativelanguage.googleapis.com"

// keyInTransit stands in the SDK for the key that the HTTP client puts in. It
// keeps the SDK from looking for one in the environment.
const keyInTransit = "key-in-transit"

type gemini struct {
	cfg    provider.Config
	client *genai.Client
}

// New makes the provider.
func New(cfg provider.Config) (provider.Provider, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	hc, err := cfg.Client(cfg.BaseURL, provider.Credential{Header: "X-Goog-Api-Key"})
	if err != nil {
		return nil, err
	}
	hc.Transport = tapTransport{hc.Transport}
	client, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		Backend:     genai.BackendGeminiAPI,
		APIKey:      keyInTransit,
		HTTPClient:  hc,
		HTTPOptions: genai.HTTPOptions{BaseURL: cfg.BaseURL},
	})
	if err != nil {
		return nil, provider.Errorf(provider.InvalidRequest, "%v", err)
	}
	return &gemini{cfg: cfg, client: client}, nil
}

// Call implements provider.Provider.
func (g *gemini) Call(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
	body, err := render(req)
	if err != nil {
		return nil, err
	}
	return g.cfg.Attempt(ctx, func(ctx context.Context) (*provider.Result, error) {
		return g.call(ctx, req.Model, body, emit)
	})
}

func (g *gemini) call(ctx context.Context, model string, body provider.Body, emit provider.Emit) (*provider.Result, error) {
	ctx, tap := withTap(ctx)
	whole := func(map[string]any) map[string]any { return body }
	cfg := &genai.GenerateContentConfig{HTTPOptions: &genai.HTTPOptions{Headers: http.Header{}, ExtrasRequestProvider: whole}}
	s := &answer{Answer: provider.NewAnswer(provider.Gemini, model, emit)}
	for resp, err := range g.client.Models.GenerateContentStream(ctx, model, genai.Text("x"), cfg) {
		if err != nil && tap.err != nil && s.complete() {
			break // what broke is behind the end
		}
		if err != nil {
			return nil, typed(ctx, err)
		}
		if err := s.chunk(resp, tap.next()); err != nil {
			return nil, err
		}
	}
	if s.finish == "" {
		return nil, provider.CutOff(ctx)
	}
	return s.result(ctx)
}

// answer puts an answer together from chunks. Each is a whole response with
// one more piece in it. There is no end mark: the answer is complete once a
// finish reason has come and the stream has ended. The reason alone does not
// end it, since models have been seen to give one with every chunk.
type answer struct {
	*provider.Answer
	block   *provider.Open // the open text or thinking block
	called  bool
	blocked bool // the prompt was refused: there is no candidate
	finish  string
	early   bool // a piece came behind the finish reason
	id      string
}

// complete tells whether the finish reason is the end although the stream did
// not end well.
func (s *answer) complete() bool { return s.finish != "" && !s.early }

// part is what we need to know of a part; the rest stays in its bytes.
type part struct {
	Text         *string         `json:"text"`
	Thought      bool            `json:"thought"`
	Signature    json.RawMessage `json:"thoughtSignature"`
	FunctionCall *struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
}

func (s *answer) chunk(resp *genai.GenerateContentResponse, raw []byte) error {
	var chunk struct {
		Error      json.RawMessage `json:"error"`
		Candidates []struct {
			Content struct {
				Parts []json.RawMessage `json:"parts"`
			} `json:"content"`
		} `json:"candidates"`
	}
	if err := json.Unmarshal(raw, &chunk); err != nil {
		return provider.Errorf(provider.Internal, "the provider sent a chunk that is not of its protocol: %v", err)
	}
	// The SDK takes an error for one only if it is an object.
	if len(chunk.Error) > 0 && string(chunk.Error) != "null" {
		return provider.Errorf(provider.Internal, "the provider sent an error: %s", chunk.Error)
	}
	if resp.ResponseID != "" {
		s.id = resp.ResponseID
	}
	if u := resp.UsageMetadata; u != nil {
		err := s.Usage(provider.Usage{
			InputTokens:     int64(max(u.PromptTokenCount+u.ToolUsePromptTokenCount-u.CachedContentTokenCount, 0)),
			OutputTokens:    int64(u.CandidatesTokenCount + u.ThoughtsTokenCount),
			CacheReadTokens: int64(u.CachedContentTokenCount),
			ThinkingTokens:  int64(u.ThoughtsTokenCount),
		})
		if err != nil {
			return err
		}
	}
	if f := resp.PromptFeedback; f != nil && f.BlockReason != "" && len(resp.Candidates) == 0 {
		s.finish, s.blocked = string(f.BlockReason), true
	}
	if len(resp.Candidates) == 0 || len(chunk.Candidates) == 0 {
		return nil
	}
	for _, p := range chunk.Candidates[0].Content.Parts {
		s.early = s.early || s.finish != ""
		if err := s.part(p); err != nil {
			return err
		}
	}
	if r := resp.Candidates[0].FinishReason; r != "" && r != genai.FinishReasonUnspecified {
		s.finish = string(r)
	}
	return nil
}

func (s *answer) part(raw json.RawMessage) error {
	var p part
	if err := json.Unmarshal(raw, &p); err != nil {
		return provider.Errorf(provider.Internal, "the provider sent a part that is none: %v", err)
	}
	switch {
	case p.FunctionCall != nil:
		return s.call(p, raw)
	case p.Text != nil:
		return s.text(p, raw)
	}
	if err := s.closeBlock(); err != nil {
		return err
	}
	return s.native(raw)
}

// native keeps a part that has no block of its own.
func (s *answer) native(raw json.RawMessage) error {
	place, err := s.Place()
	if err != nil {
		return err
	}
	return place.SetNative(raw)
}

func (s *answer) text(p part, raw json.RawMessage) error {
	kind := provider.KindText
	if p.Thought {
		kind = provider.KindThinking
	}
	if *p.Text != "" {
		if s.block != nil && s.block.Kind() != kind {
			if err := s.closeBlock(); err != nil {
				return err
			}
		}
		if s.block == nil {
			var err error
			if s.block, err = s.Start(kind); err != nil {
				return err
			}
		}
		if err := s.block.Write(*p.Text); err != nil {
			return err
		}
	}
	if len(p.Signature) == 0 {
		return nil
	}
	// The signature stays on its very part, so the block ends with it.
	if s.block == nil {
		return s.native(raw)
	}
	if err := s.block.SetNative(raw); err != nil {
		return err
	}
	return s.closeBlock()
}

func (s *answer) call(p part, raw json.RawMessage) error {
	if err := s.closeBlock(); err != nil {
		return err
	}
	s.called = true
	id := p.FunctionCall.ID
	if id == "" {
		id = provider.MintCallID()
	}
	b, err := s.StartTool(id, p.FunctionCall.Name)
	if err != nil {
		return err
	}
	if err := b.SetNative(raw); err != nil {
		return err
	}
	if len(p.FunctionCall.Args) > 0 {
		if err := b.Write(string(provider.InputObject(string(p.FunctionCall.Args)))); err != nil {
			return err
		}
	}
	return b.Stop()
}

func (s *answer) closeBlock() error {
	if s.block == nil {
		return nil
	}
	b := s.block
	s.block = nil
	return b.Stop()
}

func (s *answer) reason() provider.StopReason {
	if s.blocked {
		return provider.StopRefusal
	}
	switch genai.FinishReason(s.finish) {
	case genai.FinishReasonStop:
		if s.called {
			return provider.StopToolUse
		}
		return provider.StopEndTurn
	case genai.FinishReasonMaxTokens:
		return provider.StopMaxTokens
	case genai.FinishReasonSafety:
		return provider.StopRefusal
	case genai.FinishReasonRecitation, genai.FinishReasonBlocklist, genai.FinishReasonProhibitedContent, genai.FinishReasonSPII,
		genai.FinishReasonImageSafety, genai.FinishReasonImageProhibitedContent, genai.FinishReasonImageRecitation:
		return provider.StopContentFilter
	}
	return provider.StopOther
}

func (s *answer) result(ctx context.Context) (*provider.Result, error) {
	id := provider.RequestID(provider.ResponseHeader(ctx))
	if id == "" {
		id = s.id
	}
	return s.Finish(s.reason(), s.finish, id)
}
