// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

func TestAnswerWithEveryKindOfBlock(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.fake.Enqueue(full())
		evs, res, err := w.call(w.ask("hi"))
		if err != nil {
			t.Fatal(err)
		}
		if len(evs) < 12 {
			t.Errorf("%d events: was it streamed?", len(evs))
		}
		if textOf(res) != "It is grün 🌱." || res.StopReason != provider.StopToolUse {
			t.Errorf("text %q, stop %s (%s)", textOf(res), res.StopReason, res.RawStopReason)
		}
		want := []provider.ToolCall{{ID: "call_a", Name: "look", Input: `{"at":"x"}`}, {ID: "call_b", Name: "smell", Input: `{"id":123456789012345678}`}}
		if d := cmp.Diff(want, res.ToolCalls); d != "" {
			t.Errorf("tool calls (-want +got)\n%s", d)
		}
		if res.Usage != (provider.Usage{InputTokens: 11, OutputTokens: 22, CacheReadTokens: 33, ThinkingTokens: 5}) {
			t.Errorf("usage %+v", res.Usage)
		}
		if res.Content[0].Kind != provider.KindThinking || res.Content[0].Text != "let me think <&>" {
			t.Errorf("first block %+v", res.Content[0])
		}
		if res.RequestID != "req_fake" {
			t.Errorf("request id %q", res.RequestID)
		}
	})
}

// Anthropic counts the prompt without its cached part, the others with it.
func TestUsageIsCountedAlike(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := fakeprovider.Say("x")
		reply.Usage = fakeprovider.Usage{Input: 3, Output: 5, CacheRead: 7, CacheWrite: 11, Thinking: 2}
		want := provider.Usage{InputTokens: 3, OutputTokens: 5, CacheReadTokens: 7, CacheWriteTokens: 11, ThinkingTokens: 2}
		if w.name == fakeprovider.Gemini {
			want.CacheWriteTokens = 0 // it has no number for these
		}
		w.fake.Enqueue(reply)
		evs, res, err := w.call(w.ask("hi"))
		if err != nil || res.Usage != want {
			t.Fatalf("%+v, %v", res, err)
		}
		var last provider.Usage
		for _, ev := range evs {
			if ev.Usage != nil {
				last = *ev.Usage
			}
		}
		if last != want {
			t.Errorf("the last event says %+v", last)
		}
	})
}

// Section 9.7.
func TestBytesMayBeSplitAnywhere(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.fake.Enqueue(full())
		want := w.must(w.ask("hi"))
		for _, shape := range []fakeprovider.Reply{
			{Split: 1}, {Split: 1, CRLF: true}, {Split: 7}, {CRLF: true}, {UnknownEvents: true}, {KeepAlive: 3},
		} {
			reply := full()
			reply.Split, reply.CRLF, reply.UnknownEvents, reply.KeepAlive = shape.Split, shape.CRLF, shape.UnknownEvents, shape.KeepAlive
			w.fake.Enqueue(reply)
			got := w.must(w.ask("hi"))
			if textOf(got) != textOf(want) || !cmp.Equal(got.ToolCalls, want.ToolCalls) || got.Usage != want.Usage {
				t.Errorf("split %d, CRLF %v, unknown %v: %+v", shape.Split, shape.CRLF, shape.UnknownEvents, got)
			}
		}
	})
}

func TestALineMayBeMegabytesLong(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		big := strings.Repeat("ä<\n\"", 1<<18)
		w.fake.Enqueue(fakeprovider.Say("a", big, "z"))
		if got := textOf(w.must(w.ask("hi"))); got != "a"+big+"z" {
			t.Errorf("%d bytes, want %d", len(got), len(big)+2)
		}
	})
}

func TestOpenBlocksMayTakeTurns(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := fakeprovider.Reply{Interleave: true, Blocks: []fakeprovider.Block{
			{Kind: fakeprovider.Tool, ID: "a", Name: "look", Deltas: []string{`{"n"`, `:1`, `}`}},
			{Kind: fakeprovider.Tool, ID: "b", Name: "look", Deltas: []string{`{"n"`, `:2`, `}`}},
		}}
		w.fake.Enqueue(reply)
		res := w.must(w.ask("hi"))
		if len(res.ToolCalls) != 2 || res.ToolCalls[0].Input != `{"n":1}` || res.ToolCalls[1].Input != `{"n":2}` {
			t.Errorf("%+v", res.ToolCalls)
		}
	})
}

func TestDeltaIsEmittedAsItArrives(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		gate := make(chan struct{}, 1)
		reply := fakeprovider.Say("one", "two", "three")
		reply.Gate = gate
		w.fake.Enqueue(reply)
		gate <- struct{}{}
		deltas := 0
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := w.p.Call(ctx, w.ask("hi"), func(ev provider.Event) error {
			if ev.Delta != nil {
				// The next one is let go only now.
				deltas++
				gate <- struct{}{}
			}
			return nil
		})
		if err != nil || deltas != 3 {
			t.Errorf("%d deltas, %v", deltas, err)
		}
	})
}

func TestStopReasons(t *testing.T) {
	t.Parallel()
	type row struct {
		stop fakeprovider.Stop
		raw  string
		want provider.StopReason
	}
	rows := map[fakeprovider.Protocol][]row{
		fakeprovider.Anthropic: {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.StopSequence, "", provider.StopSequence},
			{fakeprovider.Refused, "", provider.StopRefusal}, {fakeprovider.Context, "", provider.StopContextExceeded}, {fakeprovider.Pause, "", provider.StopPaused}, {"", "moon_phase", provider.StopOther}},
		fakeprovider.Responses: {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.ContentFilter, "", provider.StopContentFilter}, {"", "steered", provider.StopOther}},
		fakeprovider.Chat:      {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.ContentFilter, "", provider.StopContentFilter}, {"", "abort", provider.StopOther}},
		fakeprovider.Gemini: {{fakeprovider.EndTurn, "", provider.StopEndTurn}, {fakeprovider.MaxTokens, "", provider.StopMaxTokens}, {fakeprovider.Refused, "", provider.StopRefusal}, {fakeprovider.ContentFilter, "", provider.StopContentFilter},
			{"", "MALFORMED_FUNCTION_CALL", provider.StopOther}, {"", "FROM_THE_FUTURE", provider.StopOther}},
	}
	forEach(t, func(t *testing.T, w *world) {
		for _, r := range rows[w.name] {
			reply := fakeprovider.Say("x")
			reply.Stop, reply.RawStop = r.stop, r.raw
			w.fake.Enqueue(reply)
			res := w.must(w.ask("hi"))
			if res.StopReason != r.want || res.RawStopReason == "" || (r.raw != "" && res.RawStopReason != r.raw) {
				t.Errorf("%s%s: %s (%s)", r.stop, r.raw, res.StopReason, res.RawStopReason)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.Refusal, Deltas: []string{"I ", "won't."}}}}
		switch w.name {
		case fakeprovider.Anthropic:
			reply.Stop = fakeprovider.Refused
		case fakeprovider.Gemini:
			reply = fakeprovider.Reply{Stop: fakeprovider.Blocked}
		}
		w.fake.Enqueue(reply)
		res := w.must(w.ask("hi"))
		if res.StopReason != provider.StopRefusal || (w.name != fakeprovider.Gemini && textOf(res) != "I won't.") {
			t.Errorf("%s (%s), %q", res.StopReason, res.RawStopReason, textOf(res))
		}
	})
}
