// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxErrorBody bounds what is read of an answer that is an error.
const maxErrorBody = 64 << 10

// How long a connection may be silent before it is probed, and how long the
// answer to the probe may take. Without it a connection that a firewall forgot
// would fail one attempt after the other, each by the idle timeout: HTTP/2 puts
// them all on one.
const (
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// DefaultTransport carries requests to providers. It asks for no compression:
// a proxy that compresses an event stream holds it back until a block is full.
func DefaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxIdleConns:          128,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
	}
}

// Credential says where a provider wants its key.
type Credential struct {
	Header string
	Prefix string
}

// Client is the HTTP client of one provider at one address. The key is put in
// here, on the way out, so that no SDK holds it and no error of theirs can
// carry it. It goes to base's host alone: a redirect is an error, not followed.
func (c Config) Client(base string, cred Credential) (*http.Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, Errorf(InvalidRequest, "baseURL %q is not an http or https URL", base)
	}
	if u.User != nil {
		return nil, Errorf(InvalidRequest, "baseURL must not carry credentials")
	}
	rt := c.Base
	if rt == nil {
		rt = DefaultTransport()
	}
	return &http.Client{Transport: &transport{base: rt, origin: u, cred: cred, key: c.Key}}, nil
}

// Attempt runs one call under the idle watchdog and sees to it that no error
// that leaves it shows the key.
func (c Config) Attempt(ctx context.Context, call func(context.Context) (*Result, error)) (*Result, error) {
	idle := c.IdleTimeout
	if idle <= 0 {
		idle = DefaultIdleTimeout
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &watchdog{idle: idle, cancel: cancel}
	defer w.disarm()

	res, err := call(context.WithValue(ctx, watchdogKey{}, w))
	var pe *Error
	if errors.As(err, &pe) {
		safe := *pe
		safe.Message = c.Key.Redact(clip(valid(pe.Message)))
		safe.RequestID = c.Key.Redact(clip(valid(pe.RequestID)))
		return nil, &safe
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// maxMessage bounds an error's message: it ends in an object's status.
const maxMessage = 2048

func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

type transport struct {
	base   http.RoundTripper
	origin *url.URL
	cred   Credential
	key    *Key
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.origin.Host || req.URL.Scheme != t.origin.Scheme {
		return nil, Errorf(InvalidRequest, "refused to send the key to %s: the provider is at %s", req.URL.Host, t.origin.Host)
	}
	out := req.Clone(req.Context())
	if t.key != nil && t.key.value != "" {
		out.Header.Set(t.cred.Header, t.cred.Prefix+t.key.value)
	} else {
		out.Header.Del(t.cred.Header)
	}
	// No header means that any coding will do.
	out.Header.Set("Accept-Encoding", "identity")
	// Not every SDK keeps the query of its base URL: some gateways have their
	// version there.
	if q := t.origin.RawQuery; q != "" {
		u := *req.URL
		if u.RawQuery != "" {
			q += "&" + u.RawQuery
		}
		u.RawQuery, out.URL = q, &u
	}
	w := watchdogFrom(req.Context())
	if w != nil {
		w.sent = true
	}
	w.arm()
	resp, err := t.base.RoundTrip(out)
	w.disarm()
	if err != nil {
		return nil, err
	}
	// The response leads back to the request without the key.
	resp.Request = req
	resp.Body = &watchedBody{ReadCloser: resp.Body, w: w}
	if w != nil {
		w.json = mediaType(resp.Header) == "application/json"
	}
	if err := checkResponse(resp); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if w != nil {
		w.header, w.answered = resp.Header, resp.StatusCode < 300
	}
	if resp.StatusCode >= 400 {
		keepRefusal(w, resp)
	}
	return resp, nil
}

// checkResponse refuses what an SDK would take for an empty stream.
func checkResponse(resp *http.Response) error {
	switch {
	case resp.StatusCode >= 400:
		return nil
	case resp.StatusCode >= 300:
		return &Error{Class: InvalidRequest, Code: resp.StatusCode, RequestID: RequestID(resp.Header),
			Message: fmt.Sprintf("the provider answered with a redirect, which is not followed: is baseURL right? Location: %q", resp.Header.Get("Location"))}
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return &Error{Class: Internal, Code: resp.StatusCode, RequestID: RequestID(resp.Header),
			Message: fmt.Sprintf("the provider answered with Content-Encoding %q, which was not asked for", enc)}
	}
	ct, media := resp.Header.Get("Content-Type"), mediaType(resp.Header)
	if ct != "" && media != "text/event-stream" && media != "application/json" {
		return &Error{Class: Internal, Code: resp.StatusCode, RequestID: RequestID(resp.Header),
			Message: fmt.Sprintf("the provider answered with Content-Type %q where an event stream was asked for: is baseURL right?", ct)}
	}
	return nil
}

func mediaType(h http.Header) string {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// keepRefusal reads an error's body, bounded, for who wants it besides the SDK.
func keepRefusal(w *watchdog, resp *http.Response) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	if w != nil {
		w.status, w.body = resp.StatusCode, body
	}
}

// Refusal is the status and the body of an answer that is an HTTP error; zero
// if there was none.
func Refusal(ctx context.Context) (status int, body []byte) {
	if w := watchdogFrom(ctx); w != nil {
		return w.status, w.body
	}
	return 0, nil
}

// watchdog ends an attempt whose provider is silent. It counts only while
// somebody waits for the provider: a reader that holds the events back is no
// fault of the provider's. It also remembers what the provider answered with,
// since not every SDK hands that out.
type watchdog struct {
	idle   time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer

	sent     bool
	header   http.Header
	answered bool
	status   int
	body     []byte
	// json says that the answer is no stream; head is its beginning.
	json bool
	head []byte
}

// maxHead is how much of an answer that is no stream is quoted.
const maxHead = 512

// ResponseHeader is that of the answer to the attempt's request; nil before it.
func ResponseHeader(ctx context.Context) http.Header {
	if w := watchdogFrom(ctx); w != nil {
		return w.header
	}
	return nil
}

// sent tells whether a request was on its way at all.
func sent(ctx context.Context) bool {
	w := watchdogFrom(ctx)
	return w != nil && w.sent
}

func answered(ctx context.Context) bool {
	w := watchdogFrom(ctx)
	return w != nil && w.answered
}

type watchdogKey struct{}

func watchdogFrom(ctx context.Context) *watchdog {
	w, _ := ctx.Value(watchdogKey{}).(*watchdog)
	return w
}

func (w *watchdog) arm() {
	if w == nil {
		return
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(w.idle, func() {
			w.cancel(Errorf(Timeout, "the provider was silent for %s", w.idle))
		})
		return
	}
	w.timer.Reset(w.idle)
}

func (w *watchdog) disarm() {
	if w != nil && w.timer != nil {
		w.timer.Stop()
	}
}

type watchedBody struct {
	io.ReadCloser
	w *watchdog
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.arm()
	defer b.w.disarm()
	n, err := b.ReadCloser.Read(p)
	if w := b.w; w != nil && w.json && len(w.head) < maxHead {
		w.head = append(w.head, p[:min(n, maxHead-len(w.head))]...)
	}
	return n, err
}
