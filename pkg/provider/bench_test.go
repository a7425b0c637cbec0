// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

// BenchmarkTimeToFirstDelta is what an adapter and its SDK add to the first
// token, against a bare HTTP client that reads the same stream.
func BenchmarkTimeToFirstDelta(b *testing.B) {
	fake := fakeprovider.New()
	fake.Forget()
	fake.Default(fakeprovider.Paced(20, 20, 0))
	srv := httptest.NewServer(fake)
	defer srv.Close()
	b.Run("bare", func(b *testing.B) {
		body := `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`
		measure(b, func(first func()) error {
			resp, err := http.Post(srv.URL+"/v1/messages", "application/json", strings.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			lines := bufio.NewScanner(resp.Body)
			for lines.Scan() {
				if strings.Contains(lines.Text(), "text_delta") {
					first()
				}
			}
			return lines.Err()
		})
	})
	for _, tg := range targets {
		p, err := tg.create(provider.Config{BaseURL: srv.URL + tg.path, Key: provider.NewKey(canary)})
		if err != nil {
			b.Fatal(err)
		}
		req := &provider.Request{Model: tg.model, MaxTokens: 9, Messages: []provider.Message{user("hi")}}
		b.Run(string(tg.name), func(b *testing.B) {
			measure(b, func(first func()) error {
				_, err := p.Call(context.Background(), req, func(ev provider.Event) error {
					if ev.Delta != nil {
						first()
					}
					return nil
				})
				return err
			})
		})
	}
}

func measure(b *testing.B, call func(first func()) error) {
	var total time.Duration
	n := 0
	for b.Loop() {
		start, seen := time.Now(), false
		if err := call(func() {
			if !seen {
				seen = true
				total += time.Since(start)
			}
		}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(total.Microseconds())/float64(n), "µs-to-first-delta")
}
