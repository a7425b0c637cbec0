// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// maxBody is what Anthropic's edge takes.
const maxBody = 32 << 20

// Server answers requests. It is an http.Handler; serve it by httptest or by
// cmd/fakeprovider.
type Server struct {
	// Key, if set, is the only API key that is let in.
	Key string

	mu       sync.Mutex
	queue    []Reply
	byModel  map[string]func(Request) Reply
	requests []Request
	count    int
	issued   memory
	// forget keeps no requests: benchmarks make many.
	forget   bool
	fallback *Reply
}

// Request is one that came.
type Request struct {
	Protocol Protocol
	Path     string
	Header   http.Header
	Model    string
	Body     []byte
	// Refused is why it was refused; empty means that it was answered.
	Refused string
}

// Protocol is one of the four.
type Protocol string

const (
	Anthropic Protocol = "anthropic"
	Responses Protocol = "responses"
	Chat      Protocol = "chat"
	Gemini    Protocol = "gemini"
)

// New makes a server.
func New() *Server { return &Server{byModel: map[string]func(Request) Reply{}} }

// Forget makes the server count requests and keep none, for benchmarks.
func (s *Server) Forget() { s.forget = true }

// Default replaces the answer to requests that nothing else is scripted for.
func (s *Server) Default(r Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fallback = &r
}

// Enqueue scripts the answers to the next requests.
func (s *Server) Enqueue(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, replies...)
}

// On scripts the answers to all requests for a model.
func (s *Server) On(model string, reply func(Request) Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byModel[model] = reply
}

// Requests returns what came so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Last returns the last request.
func (s *Server) Last() Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.forget {
		s.requests = append(s.requests, r)
	}
}

func (s *Server) reply(r Request) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		out := s.queue[0]
		s.queue = s.queue[1:]
		return out
	}
	if f := s.byModel[r.Model]; f != nil {
		return f(r)
	}
	if s.fallback != nil {
		return *s.fallback
	}
	if out, ok := ParsePace(r.Model); ok {
		return out
	}
	return Say("ok")
}

// protocol is one wire protocol from the server's side.
type protocol interface {
	// key is the API key that the request shows.
	key(*http.Request) string
	// check returns why the real service would refuse the request.
	check(s *Server, model string, body []byte) error
	// refuse renders an error with an HTTP status.
	refuse(*Error) []byte
	// frames renders an answer, and remembers what it must get back.
	frames(s *Server, model string, r *Reply) []frame
	// inBand renders an error in the stream.
	inBand(*InBand) frame
	keepAlive() []byte
	requestIDHeader() string
	crlf() bool
}

// frame is one event of a stream.
type frame struct {
	event string
	data  []byte
	// delta frames are paced.
	delta bool
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/requests" {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintln(w, s.count)
		return
	}
	name, p, model := route(r)
	if p == nil || r.Method != http.MethodPost {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return
	}
	req := Request{Protocol: name, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body, Model: model}
	if req.Model == "" {
		var m struct {
			Model string `json:"model"`
		}
		_ = json.Unmarshal(body, &m)
		req.Model = m.Model
	}
	refusal := s.refusal(p, r, req)
	if refusal != nil {
		req.Refused = refusal.Message
	}
	s.record(req)
	w.Header().Set(p.requestIDHeader(), "req_fake")
	if refusal != nil {
		writeError(w, p, refusal)
		return
	}
	reply := s.reply(req)
	for k, v := range reply.Header {
		w.Header()[k] = v
	}
	switch {
	case reply.Raw != nil:
		writeRaw(w, reply.Raw)
	case reply.Error != nil:
		writeError(w, p, reply.Error)
	default:
		(&writer{w: w, r: r, p: p, reply: &reply}).stream(p.frames(s, req.Model, &reply))
	}
}

func route(r *http.Request) (Protocol, protocol, string) {
	switch path := r.URL.Path; {
	case path == "/v1/messages":
		return Anthropic, anthropic{}, ""
	case path == "/v1/responses":
		return Responses, responses{}, ""
	case path == "/v1/chat/completions":
		return Chat, chat{}, ""
	case strings.HasPrefix(path, "/v1beta/models/") && r.URL.Query().Get("alt") == "sse":
		if model, ok := strings.CutSuffix(strings.TrimPrefix(path, "/v1beta/models/"), ":streamGenerateContent"); ok {
			return Gemini, gemini{}, model
		}
	}
	return "", nil, ""
}

func (s *Server) refusal(p protocol, r *http.Request, req Request) *Error {
	if s.Key != "" && p.key(r) != s.Key {
		return &Error{Status: http.StatusUnauthorized, Type: "authentication_error", Message: "invalid x-api-key: " + p.key(r)}
	}
	if req.Protocol == Anthropic && r.Header.Get("Anthropic-Version") == "" {
		return &Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: "anthropic-version: header is required"}
	}
	if len(req.Body) > maxBody {
		return &Error{Status: http.StatusRequestEntityTooLarge, Type: "request_too_large", Message: "Request exceeds the maximum size"}
	}
	if req.Model == "" {
		return &Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: "model: Field required"}
	}
	if err := p.check(s, req.Model, req.Body); err != nil {
		return &Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: err.Error()}
	}
	return nil
}

func writeError(w http.ResponseWriter, p protocol, e *Error) {
	w.Header().Set("Content-Type", "application/json")
	if e.RetryAfter != "" {
		w.Header().Set("Retry-After", e.RetryAfter)
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(p.refuse(e))
}

func writeRaw(w http.ResponseWriter, raw *Raw) {
	for k, v := range raw.Header {
		w.Header()[k] = v
	}
	if raw.ContentType != "" {
		w.Header().Set("Content-Type", raw.ContentType)
	}
	w.WriteHeader(raw.Status)
	_, _ = io.WriteString(w, raw.Body)
}

// object is a JSON object.
type object map[string]any

func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
