// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// steady is a run of an hour that keeps all laws: a sample a minute, 100 MB of
// live data, 10 MB of log a minute, kept for ten.
func steady() []sample {
	samples := make([]sample, 60)
	for i := range samples {
		samples[i] = sample{
			at: time.Duration(i+1) * time.Minute, heap: 80, rss: 120, goroutines: 60,
			live: 100, checkpoint: 250, written: 10 * float64(i+1), log: 10*float64(min(i+1, 11)) + 50,
		}
	}
	return samples
}

func TestTheVerdictNamesTheLawThatWasBroken(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(i int, s *sample)
		want   string
	}{
		{"nothing changes", func(int, *sample) {}, ""},
		{"history and caches fill in the first third", func(i int, s *sample) { s.heap = min(80, 4*float64(i+1)) }, ""},
		{"memory grows for ever", func(i int, s *sample) { s.rss += 3 * float64(i) }, "anonymous memory grew"},
		{"goroutines are left behind", func(i int, s *sample) { s.goroutines += 2 * i }, "goroutines grew"},
		{"the checkpoint keeps what was deleted", func(i int, s *sample) { s.checkpoint += 10 * float64(i) }, "checkpoint takes"},
		{"a small checkpoint is left alone", func(_ int, s *sample) { s.live, s.checkpoint = 1, 60 }, ""},
		{"the log is never given up", func(_ int, s *sample) { s.log = s.written + 50 }, "log takes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			samples := steady()
			for i := range samples {
				c.change(i, &samples[i])
			}
			err := report(io.Discard, samples, 10*time.Minute)
			if c.want == "" && err != nil {
				t.Errorf("the verdict is %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the verdict is %v, want %q", err, c.want)
			}
		})
	}
}

func TestARunTooShortIsNoVerdict(t *testing.T) {
	if report(io.Discard, steady()[:2], time.Minute) == nil {
		t.Error("two samples were enough")
	}
}
