// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

func TestKeyIsInNoError(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		inBand := full()
		inBand.InBand = &fakeprovider.InBand{At: 1, Type: "api_error", Code: 500, Message: "your key is " + canary[:20] + "…"}
		w.fake.Enqueue(
			fakeprovider.Reply{Error: &fakeprovider.Error{Status: 401, Type: "authentication_error", Message: "bad key " + canary + "!"}},
			fakeprovider.Reply{Raw: &fakeprovider.Raw{Status: 500, Body: "debug: Authorization: Bearer " + canary}},
			inBand)
		for range 3 {
			pe := w.fail(w.ask("hi"))
			if s := fmt.Sprintf("%+v %#v %v", pe, *pe, pe); strings.Contains(s, canary[:provider.MinPiece]) || !strings.Contains(s, "[redacted]") {
				t.Errorf("%s", s)
			}
		}
	})
}

// A provider, or whoever speaks for it, must not be able to send the key on.
func TestKeyGoesToTheProvidersHostAlone(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		var reached atomic.Int32
		thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
		defer thief.Close()
		for _, status := range []int{301, 302, 307, 308} {
			w.fake.Enqueue(fakeprovider.Reply{Raw: &fakeprovider.Raw{Status: status, Header: header("Location", thief.URL+"/v1/messages")}})
			if pe := w.fail(w.ask("hi")); pe.Class != provider.InvalidRequest {
				t.Errorf("%d: %+v", status, pe)
			}
		}
		if reached.Load() > 0 {
			t.Error("the redirect was followed")
		}
	})
}

func TestBaseURLIsChecked(t *testing.T) {
	t.Parallel()
	for _, tg := range targets {
		for _, base := range []string{"ftp://x", "x.test", "https://user:pass@x.test", "://"} {
			if _, err := tg.create(provider.Config{BaseURL: base, Key: provider.NewKey("k")}); err == nil {
				t.Errorf("%s: %q is taken", tg.name, base)
			}
		}
	}
}

// Not parallel: it changes the environment.
func TestEnvironmentChangesNothing(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the environment's address was called") }))
	defer thief.Close()
	for _, name := range []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_ORG_ID", "GOOGLE_CLOUD_PROJECT"} {
		t.Setenv(name, "from-the-environment")
	}
	for _, name := range []string{"ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"} {
		t.Setenv(name, thief.URL)
	}
	t.Setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
	t.Setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
	for _, tg := range targets {
		w := newWorld(t, tg)
		w.must(w.ask("hi"))
		for k, v := range w.fake.Last().Header {
			if strings.Contains(fmt.Sprint(v), "from-the-environment") {
				t.Errorf("%s: header %s is from the environment", tg.name, k)
			}
		}
	}
}
