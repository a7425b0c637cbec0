// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// The services speak HTTP/2, where a stream that ends, a stream that is reset
// and a connection that breaks are three things.
func TestLawsHoldOverHTTP2(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		var older atomic.Int32
		w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				older.Add(1)
			}
			w.fake.ServeHTTP(rw, r)
		}), true)
		w.fake.Enqueue(full())
		if res := w.must(w.ask("hi")); textOf(res) != "It is grün 🌱." || len(res.ToolCalls) != 2 {
			t.Errorf("%+v", res)
		}
		for _, how := range []fakeprovider.How{fakeprovider.Clean, fakeprovider.Abort} {
			for _, at := range []int{0, 3, -1} {
				reply := full()
				reply.Cut = &fakeprovider.Cut{At: at, How: how}
				w.fake.Enqueue(reply)
				_, res, err := w.call(w.ask("hi"))
				if err == nil && at == -1 && w.name == fakeprovider.Chat && textOf(res) == "It is grün 🌱." {
					continue // [DONE] alone is missing
				}
				var pe *provider.Error
				if !errors.As(err, &pe) || pe.Class != provider.Truncated || pe.RequestID != "req_fake" {
					t.Errorf("cut before frame %d, how %d: %v", at, how, err)
				}
			}
		}
		w.fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: 503, Message: "not now"}})
		if pe := w.fail(w.ask("hi")); pe.Class != provider.Overloaded || pe.Message != "not now" {
			t.Errorf("%+v", pe)
		}
		w.cfg.IdleTimeout = 50 * time.Millisecond
		w.remake()
		stalled := full()
		stalled.Stall = fakeprovider.At(2)
		w.fake.Enqueue(stalled)
		if pe := w.fail(w.ask("hi")); pe.Class != provider.Timeout {
			t.Errorf("%+v", pe)
		}
		if n := older.Load(); n > 0 {
			t.Errorf("%d requests came over HTTP/1: the test proves nothing", n)
		}
	})
}

// A connection that a firewall has forgotten says nothing. It is found out by
// probes, long before the idle timeout, or every attempt would go onto it.
func TestForgottenConnectionIsFoundOut(t *testing.T) {
	t.Parallel()
	if c := provider.DefaultTransport().HTTP2; c == nil || c.SendPingTimeout <= 0 || c.SendPingTimeout+c.PingTimeout >= provider.DefaultIdleTimeout {
		t.Fatalf("the probes of the default transport: %+v", c)
	}
	w := newWorld(t, targets[0])
	w.serve(w.fake, true)
	path := newBlackhole(t, w.srv.Listener.Addr().String())
	tr := w.cfg.Base.(*http.Transport)
	t.Cleanup(tr.CloseIdleConnections) // before the path waits for them
	tr.HTTP2.SendPingTimeout, tr.HTTP2.PingTimeout = 200*time.Millisecond, 2*time.Second
	u, err := url.Parse(w.srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr.TLSClientConfig.ServerName = u.Hostname()
	w.cfg.BaseURL, w.cfg.IdleTimeout = "https://"+path.addr, time.Minute
	w.remake()
	gate := make(chan struct{}, 1)
	gate <- struct{}{}
	reply := fakeprovider.Say("one", "two")
	reply.Gate = gate
	w.fake.Enqueue(reply)
	_, err = w.p.Call(t.Context(), w.ask("hi"), func(ev provider.Event) error {
		if ev.Delta != nil {
			path.forget()
			gate <- struct{}{}
		}
		return nil
	})
	var pe *provider.Error
	if !errors.As(err, &pe) || pe.Class != provider.Truncated {
		t.Errorf("%v", err)
	}
	// The next attempt gets a connection of its own.
	if got := textOf(w.must(w.ask("again"))); got != "ok" {
		t.Errorf("%q", got)
	}
}

// blackhole passes bytes on until it is told to forget the connections that it
// has: they stay open, and nothing comes through any more.
type blackhole struct {
	addr string
	mu   sync.Mutex
	gone []chan struct{}
}

func newBlackhole(t *testing.T, to string) *blackhole {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &blackhole{addr: lis.Addr().String()}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = lis.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				return
			}
			gone := make(chan struct{})
			b.mu.Lock()
			b.gone = append(b.gone, gone)
			b.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				conns.Go(func() {
					_, _ = io.Copy(&forgetful{pair[0], gone}, pair[1])
					_ = in.Close()
					_ = out.Close()
				})
			}
		}
	})
	return b
}

func (b *blackhole) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, gone := range b.gone {
		close(gone)
	}
	b.gone = nil
}

// forgetful swallows what is written once gone is closed.
type forgetful struct {
	w    io.Writer
	gone <-chan struct{}
}

func (f *forgetful) Write(p []byte) (int, error) {
	select {
	case <-f.gone:
		return len(p), nil
	default:
		return f.w.Write(p)
	}
}

// Gateways have their tenant in the path and their version in the query.
func TestBaseURLMayHaveAPathAndAQuery(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.serve(http.StripPrefix("/team/a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("version") != "7" {
				http.Error(rw, "which version?", http.StatusBadRequest)
				return
			}
			w.fake.ServeHTTP(rw, r)
		})), false)
		for _, end := range []string{"", "/"} {
			w.cfg.BaseURL = w.srv.URL + "/team/a" + w.path + end + "?version=7"
			w.remake()
			if got := textOf(w.must(w.ask("hi"))); got != "ok" {
				t.Errorf("%s: %q", w.cfg.BaseURL, got)
			}
		}
		if got := w.fake.Last().Path; strings.Count(got, "version=7") != 1 {
			t.Errorf("%s", got)
		}
		w.cfg.BaseURL = w.srv.URL + "/team/b" + w.path
		w.remake()
		if pe := w.fail(w.ask("hi")); pe.Class != provider.InvalidRequest || pe.Code != 404 {
			t.Errorf("a path that is not there: %+v", pe)
		}
	})
}

// Without the header any coding would do, and a compressed stream comes late.
func TestNoCompressionIsAskedFor(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.must(w.ask("hi"))
		if got := w.fake.Last().Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q", got)
		}
	})
}
