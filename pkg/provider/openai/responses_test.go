// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"testing"

	sdk "github.com/openai/openai-go/v3/responses"

	"safebeam.dev/safebeam/pkg/provider"
)

// play hands events to a stream until its end.
func play(t *testing.T, events ...string) (*provider.Result, string) {
	t.Helper()
	emit, blocks := watch(t)
	s := &itemStream{answer: provider.NewAnswer(provider.OpenAI, "m", emit), items: map[int64]*item{}}
	for _, raw := range events {
		var ev sdk.ResponseStreamEventUnion
		if err := json.Unmarshal([]byte(raw), &ev); err != nil {
			t.Fatal(err)
		}
		done, err := s.event(ev)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			res, err := s.result()
			if err != nil {
				t.Fatal(err)
			}
			var streamed string
			texts, open := blocks()
			for _, text := range texts {
				streamed += text
			}
			if open != 0 {
				t.Errorf("%d blocks are open", open)
			}
			return res, streamed
		}
	}
	t.Fatal("there was no end")
	return nil, ""
}

const completed = `{"type":"response.completed","response":{"id":"r","status":"completed"}}`

// A reasoning summary has parts, which are paragraphs, whether they streamed or
// came whole with the item's end.
func TestPartsOfASummaryAreParagraphs(t *testing.T) {
	t.Parallel()
	item := `{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"sealed"}`
	done := `{"type":"response.output_item.done","output_index":0,"item":` + item + `}`
	for name, events := range map[string][]string{
		"streamed": {
			`{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs","summary":[]}}`,
			`{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"on"}`,
			`{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"e"}`,
			`{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"two"}`,
			done, completed,
		},
		"whole": {done, completed},
	} {
		res, streamed := play(t, events...)
		if streamed != "one\n\ntwo" || len(res.Content) != 2 || res.Content[0].Text != streamed || string(res.Content[1].Native.Data) != item {
			t.Errorf("%s: %q, %+v", name, streamed, res.Content)
		}
	}
}

// Compatible servers leave events out: what did not stream comes with the
// item's end, and what streamed for an item that nobody announced too.
func TestItemsThatDidNotStreamAreWhole(t *testing.T) {
	t.Parallel()
	message := `{"type":"response.output_item.done","output_index":0,"item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}}`
	call := `{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"a","name":"f","arguments":"{\"x\":1}"}}`
	for name, events := range map[string][]string{
		"ends only":        {message, call, completed},
		"without a begin":  {`{"type":"response.output_text.delta","output_index":0,"delta":"hel"}`, message, call, completed},
		"without a middle": {`{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}`, message, call, completed},
	} {
		res, streamed := play(t, events...)
		if provider.PlainText(res.Content) != "hello" || len(res.ToolCalls) != 1 || res.ToolCalls[0].Input != `{"x":1}` || res.StopReason != provider.StopToolUse || len(streamed) != len(`hello{"x":1}`) {
			t.Errorf("%s: %q, %+v", name, streamed, res)
		}
	}
}

// Arguments that were cut off by the limit of tokens are shown as far as they
// came, and the answer says why.
func TestIncompleteResponseKeepsWhatCame(t *testing.T) {
	t.Parallel()
	res, _ := play(t,
		`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}`,
		`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"x\":"}`,
		`{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}`)
	if res.StopReason != provider.StopMaxTokens || res.RawStopReason != "max_output_tokens" || len(res.ToolCalls) != 1 || res.ToolCalls[0].Input != `{"x":` {
		t.Errorf("%+v", res)
	}
}
