// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
)

// What goes back unchanged is held in memory like what people see, and no
// provider may fill the job with it.
func TestEverythingThatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 1<<20)
	almost := func() *provider.Answer {
		a := provider.NewAnswer(provider.OpenAI, "m", func(provider.Event) error { return nil })
		if err := a.Hold(42 << 20); err != nil { // of 48
			t.Fatal(err)
		}
		return a
	}
	for name, keep := range map[string]func() func(i int64) error{
		"items that begin": func() func(int64) error {
			s := &itemStream{answer: almost(), items: map[int64]*item{}}
			return func(i int64) error { return s.added(i, `{"type":"reasoning","id":"`+big+`"}`) }
		},
		"items that end": func() func(int64) error {
			s := &itemStream{answer: almost(), items: map[int64]*item{}}
			return func(i int64) error {
				return s.done(i, `{"type":"reasoning","encrypted_content":"`+big+`"}`)
			}
		},
		"reasoning": func() func(int64) error {
			s := newChatStream(almost(), nil)
			return func(int64) error { return s.delta(&chatDelta{Reasoning: big}) }
		},
	} {
		next, n := keep(), int64(0)
		for ; n < 20; n++ {
			if next(n) != nil {
				break
			}
		}
		if n < 1 || n > 6 {
			t.Errorf("%s: %d MiB more were kept", name, n)
		}
	}
}
