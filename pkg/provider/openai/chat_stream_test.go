// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/internal/sse"
)

// watch holds the events of a call to their laws, and returns what was streamed
// in each block; {} for a call without an input.
func watch(t *testing.T) (emit provider.Emit, blocks func() (texts []string, open int)) {
	var texts []string
	kinds, closed := []provider.BlockKind{}, map[int]bool{}
	emit = func(ev provider.Event) error {
		switch {
		case ev.Start != nil:
			if ev.Start.Index != len(texts) {
				t.Fatalf("block %d starts where %d is due", ev.Start.Index, len(texts))
			}
			texts, kinds = append(texts, ""), append(kinds, ev.Start.Kind)
		case ev.Delta != nil:
			i := ev.Delta.Index
			if i >= len(texts) || closed[i] || kinds[i] != ev.Delta.Kind || ev.Delta.Text == "" || !utf8.ValidString(ev.Delta.Text) {
				t.Fatalf("delta %+v", ev.Delta)
			}
			texts[i] += ev.Delta.Text
		case ev.Stop != nil:
			if closed[ev.Stop.Index] || ev.Stop.Index >= len(texts) {
				t.Fatalf("block %d stops and is not open", ev.Stop.Index)
			}
			closed[ev.Stop.Index] = true
		}
		return nil
	}
	return emit, func() ([]string, int) {
		for i, kind := range kinds {
			if kind == provider.KindToolUse && empty(texts[i]) {
				texts[i] = "{}"
			}
		}
		return texts, len(texts) - len(closed)
	}
}

// FuzzChatStream: whatever a server writes, there is an answer or an error; an
// answer only with a finish reason, with every block closed, and with the text
// that was streamed.
func FuzzChatStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":-1,\"function\":{\"arguments\":{\"a\":\"\xff\"}}}]},\"finish_reason\":\"tool_calls\"}]}\n\n"))
	f.Add([]byte("data: {\"error\":\"x\"}\n\ndata: {\"error\":{\"code\":502}}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"message\":{\"content\":\"a\",\"reasoning\":\"r\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":-1}}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		emit, blocks := watch(t)
		s := newChatStream(provider.NewAnswer(provider.OpenAI, "m", emit), nil)
		res, err := s.read(t.Context(), sse.NewReaderLimit(bytes.NewReader(in), 1<<16))
		if (res == nil) == (err == nil) {
			t.Fatalf("result %v and error %v", res, err)
		}
		if res == nil {
			return
		}
		texts, open := blocks()
		if res.RawStopReason == "" || open != 0 {
			t.Fatalf("an answer without a finish reason, or with %d open blocks: %+v", open, res)
		}
		var held []string
		for _, b := range res.Content {
			if b.Kind != provider.KindNative {
				held = append(held, b.Text)
			}
		}
		ids := map[string]bool{}
		for _, c := range res.ToolCalls {
			if c.ID == "" || ids[c.ID] {
				t.Fatalf("tool call id %q is empty or given twice", c.ID)
			}
			ids[c.ID] = true
			held = append(held, c.Input)
		}
		slices.Sort(texts)
		slices.Sort(held)
		if !slices.Equal(texts, held) {
			t.Fatalf("streamed %q, the answer holds %q", texts, held)
		}
	})
}

// FuzzChatAnswer: an answer of any text, in pieces of any size, comes out as it
// went in; cut anywhere before its finish reason it is Truncated.
func FuzzChatAnswer(f *testing.F) {
	f.Add("let me see", "It is grün 🌱.", `{"at":"x"}`, uint8(2), uint8(3), uint16(9999))
	f.Add("", "x", "", uint8(0), uint8(1), uint16(40))
	f.Add("", "", "null", uint8(1), uint8(9), uint16(9999))
	f.Add("\n", "data: [DONE]\n\n", "{}", uint8(3), uint8(0), uint16(300))
	f.Fuzz(func(t *testing.T, thinking, text, input string, calls, step uint8, cut uint16) {
		thinking, text, input = strings.ToValidUTF8(thinking, "?"), strings.ToValidUTF8(text, "?"), strings.ToValidUTF8(input, "?")
		var body bytes.Buffer
		write := func(delta map[string]any, finish any) {
			b, err := json.Marshal(map[string]any{"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&body, "data: %s\n\n", b)
		}
		size := int(step%7) + 1
		for _, p := range pieces(thinking, size) {
			write(map[string]any{"reasoning_content": p}, nil)
		}
		for _, p := range pieces(text, size) {
			write(map[string]any{"content": p}, nil)
		}
		n := int(calls % 4)
		for i := range n {
			write(map[string]any{"tool_calls": []any{map[string]any{"index": i, "id": fmt.Sprint("id", i), "function": map[string]any{"name": "f", "arguments": ""}}}}, nil)
		}
		for _, p := range pieces(input, size) {
			for i := range n { // by turns
				write(map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": p}}}}, nil)
			}
		}
		write(map[string]any{}, "stop")
		end := body.Len() - 1 // the event's own line is whole
		body.WriteString("data: [DONE]\n\n")
		in := body.Bytes()[:min(int(cut), body.Len())]

		emit, _ := watch(t)
		res, err := newChatStream(provider.NewAnswer(provider.OpenAI, "m", emit), nil).read(t.Context(), sse.NewReader(bytes.NewReader(in)))
		if len(in) < end {
			var pe *provider.Error
			if !errors.As(err, &pe) || pe.Class != provider.Truncated {
				t.Fatalf("cut at %d of %d: %v, %v", len(in), end, res, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var thought string
		for _, b := range res.Content {
			if b.Kind == provider.KindThinking {
				thought += b.Text
			}
		}
		if thought != thinking || provider.PlainText(res.Content) != text || len(res.ToolCalls) != n {
			t.Fatalf("%q, %q and %d calls became %+v", thinking, text, n, res)
		}
		want := input
		if empty(input) {
			want = "{}"
		}
		for i, c := range res.ToolCalls {
			if c.ID != fmt.Sprint("id", i) || c.Input != want {
				t.Fatalf("call %d is %+v, want the input %q", i, c, want)
			}
		}
	})
}

// empty tells the inputs that are an empty object in all but name.
func empty(input string) bool {
	input = strings.TrimSpace(input)
	return input == "" || input == "null"
}

// pieces splits s into so many letters each.
func pieces(s string, size int) []string {
	var out []string
	letters := []rune(s)
	for len(letters) > 0 {
		n := min(size, len(letters))
		out = append(out, string(letters[:n]))
		letters = letters[n:]
	}
	return out
}
