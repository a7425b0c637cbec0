// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"safebeam.dev/safebeam/pkg/provider"
)

func event(t *testing.T, format string, args ...any) sdk.MessageStreamEventUnion {
	t.Helper()
	var ev sdk.MessageStreamEventUnion
	if err := json.Unmarshal(fmt.Appendf(nil, format, args...), &ev); err != nil {
		t.Fatal(err)
	}
	return ev
}

// What goes back unchanged is held in memory like what people see, and no
// provider may fill the job with it.
func TestEverythingThatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	const almost = 42 << 20 // of 48
	big := strings.Repeat("x", 1<<20)
	for name, tc := range map[string]struct{ block, flood string }{
		"thinking":              {`{"type":"thinking","thinking":""}`, `"content_block_delta","delta":{"type":"thinking_delta","thinking":"` + big + `"}`},
		"signatures":            {`{"type":"thinking","thinking":""}`, `"content_block_delta","delta":{"type":"signature_delta","signature":"` + big + `"}`},
		"citations":             {`{"type":"text","text":""}`, `"content_block_delta","delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"` + big + `"}}`},
		"input of its own tool": {`{"type":"server_tool_use","id":"a","name":"b","input":{}}`, `"content_block_delta","delta":{"type":"input_json_delta","partial_json":"` + big + `"}`},
		"blocks":                {`{"type":"text","text":""}`, `"content_block_start","content_block":{"type":"redacted_thinking","data":"` + big + `"}`},
	} {
		s := &answer{Answer: provider.NewAnswer(provider.Anthropic, "m", func(provider.Event) error { return nil }), open: map[int64]*block{}}
		if err := s.event(event(t, `{"type":"content_block_start","index":0,"content_block":%s}`, tc.block)); err != nil {
			t.Fatal(err)
		}
		flood := event(t, `{"index":0,"type":%s}`, tc.flood)
		if err := s.Hold(almost); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; n < 20; n++ {
			if s.event(flood) != nil {
				break
			}
		}
		if n < 1 || n > 6 {
			t.Errorf("%s: %d MiB more were kept", name, n)
		}
	}
}

// Unknown events are left for the future; a piece of nothing is no answer.
func TestPieceOfNoBlockIsAnError(t *testing.T) {
	t.Parallel()
	s := &answer{Answer: provider.NewAnswer(provider.Anthropic, "m", func(provider.Event) error { return nil }), open: map[int64]*block{}}
	if err := s.event(event(t, `{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"lost"}}`)); err == nil {
		t.Error("text was lost without a word")
	}
}
