// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/internal/sse"
)

// chat speaks Chat Completions.
type chat struct {
	cfg    provider.Config
	client *http.Client
	url    string
	own    bool // OpenAI's own models are at the address
}

func newChat(cfg provider.Config, client *http.Client) (*chat, error) {
	u, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, provider.Errorf(provider.InvalidRequest, "baseURL %q: %v", cfg.BaseURL, err)
	}
	u.RawQuery = "" // the client adds it
	return &chat{cfg: cfg, client: client, url: u.JoinPath("chat", "completions").String(), own: ownModels(cfg.BaseURL)}, nil
}

// Call implements provider.Provider.
func (c *chat) Call(ctx context.Context, req *provider.Request, emit provider.Emit) (*provider.Result, error) {
	body, err := renderChat(req, c.own)
	if err != nil {
		return nil, err
	}
	return c.cfg.Attempt(ctx, func(ctx context.Context) (*provider.Result, error) {
		return c.call(ctx, req.Model, body, emit)
	})
}

func (c *chat) call(ctx context.Context, model string, body []byte, emit provider.Emit) (*provider.Result, error) {
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, provider.Errorf(provider.InvalidRequest, "%v", err)
	}
	hr.Header.Set("Content-Type", "application/json")
	hr.Header.Set("Accept", "text/event-stream")
	resp, err := c.client.Do(hr)
	if err != nil {
		return nil, provider.FromTransport(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		b, _ := io.ReadAll(resp.Body)
		return nil, refused(resp.StatusCode, resp.Header, b)
	}
	s := newChatStream(provider.NewAnswer(provider.OpenAI, model, emit), resp.Header)
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "application/json" {
		return s.whole(ctx, resp.Body)
	}
	return s.read(ctx, sse.NewReader(resp.Body))
}

// read takes chunks until [DONE], or until the end if a finish reason came
// before it: not every server sends [DONE].
func (s *chatStream) read(ctx context.Context, r *sse.Reader) (*provider.Result, error) {
	for {
		ev, err := r.Next()
		if err != nil {
			if s.finished() {
				return s.result()
			}
			if errors.Is(err, io.EOF) {
				return nil, provider.CutOff(ctx)
			}
			return nil, provider.FromTransport(ctx, err)
		}
		if bytes.Equal(bytes.TrimSpace(ev.Data), []byte("[DONE]")) {
			if s.finished() {
				return s.result()
			}
			return nil, provider.CutOff(ctx)
		}
		if err := s.event(ev); err != nil {
			return nil, err
		}
	}
}

// whole reads the answer of a server that does not stream, although asked to.
func (s *chatStream) whole(ctx context.Context, body io.Reader) (*provider.Result, error) {
	b, err := io.ReadAll(io.LimitReader(body, sse.MaxEvent+1))
	if err != nil {
		return nil, provider.FromTransport(ctx, err)
	}
	if len(b) > sse.MaxEvent {
		return nil, provider.FromTransport(ctx, sse.ErrTooLong)
	}
	if json.Valid(b) {
		if err := s.event(sse.Event{Data: b}); err != nil {
			return nil, err
		}
	}
	if !s.finished() {
		return nil, &provider.Error{Class: provider.Truncated, RequestID: s.requestID(), Message: "the answer ended before its end"}
	}
	return s.result()
}
