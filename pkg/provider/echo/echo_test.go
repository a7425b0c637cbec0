// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package echo

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
)

func call(t *testing.T, req *provider.Request) ([]string, *provider.Result, error) {
	t.Helper()
	var deltas []string
	res, err := New().Call(t.Context(), req, func(ev provider.Event) error {
		if ev.Delta != nil {
			deltas = append(deltas, ev.Delta.Text)
		}
		return nil
	})
	return deltas, res, err
}

func ask(text, parameters string) *provider.Request {
	return &provider.Request{Model: "echo", MaxTokens: 1000, Parameters: json.RawMessage(parameters),
		Messages: []provider.Message{{Role: provider.RoleUser, Content: []provider.Block{provider.Text(text)}}}}
}

func TestLastMessageIsRepeatedWordByWord(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"one two\n\tthree ", "", "  leading", "ünï 🌱 code", "one"} {
		deltas, res, err := call(t, ask(text, ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(deltas, ""); got != text || provider.PlainText(res.Content) != text || res.StopReason != provider.StopEndTurn {
			t.Errorf("%q: deltas %q, %+v", text, deltas, res)
		}
	}
	if deltas, _, _ := call(t, ask("one two three", "")); len(deltas) != 3 {
		t.Errorf("deltas %q", deltas)
	}
}

func TestDirectives(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		parameters string
		text       string
		deltas     int
		stop       provider.StopReason
		class      provider.Class
	}{
		"answer":               {`{"answer":"so be it"}`, "so be it", 3, provider.StopEndTurn, ""},
		"deltas":               {`{"deltas":3,"deltaBytes":4}`, "..0 ..1 ..2 ", 3, provider.StopEndTurn, ""},
		"thinking":             {`{"thinking":"hm hm"}`, "hi", 3, provider.StopEndTurn, ""},
		"tool calls":           {`{"toolCalls":[{"name":"look","input":{"a":1}}]}`, "hi", 2, provider.StopToolUse, ""},
		"stop reason":          {`{"stopReason":"refusal"}`, "hi", 1, provider.StopRefusal, ""},
		"other stop reason":    {`{"stopReason":"moon"}`, "hi", 1, provider.StopOther, ""},
		"fail at once":         {`{"fail":{"class":"Overloaded"}}`, "", 0, "", provider.Overloaded},
		"fail in the middle":   {`{"deltas":5,"fail":{"afterDeltas":2}}`, "", 2, "", provider.Internal},
		"fail at the end":      {`{"fail":{"class":"RateLimited","afterDeltas":9}}`, "", 1, "", provider.RateLimited},
		"unknown directive":    {`{"answr":"x"}`, "", 0, "", provider.InvalidRequest},
		"too much":             {`{"deltas":1000000,"deltaBytes":1000}`, "", 0, "", provider.InvalidRequest},
		"an overflow":          {`{"deltas":1000000,"deltaBytes":9223372036854775807}`, "", 0, "", provider.InvalidRequest},
		"not an object at all": {`7`, "", 0, "", provider.InvalidRequest},
	} {
		deltas, res, err := call(t, ask("hi", tc.parameters))
		var pe *provider.Error
		switch {
		case len(deltas) != tc.deltas:
			t.Errorf("%s: deltas %q", name, deltas)
		case tc.class != "" && (!errors.As(err, &pe) || pe.Class != tc.class):
			t.Errorf("%s: error %v", name, err)
		case tc.class == "" && (err != nil || provider.PlainText(res.Content) != tc.text || res.StopReason != tc.stop):
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

func TestToolLoopEnds(t *testing.T) {
	t.Parallel()
	req := ask("hi", `{"toolCalls":[{"name":"look"}]}`)
	_, res, err := call(t, req)
	if err != nil || len(res.ToolCalls) != 1 || res.ToolCalls[0].Input != "{}" {
		t.Fatalf("%+v, %v", res, err)
	}
	req.Messages = append(req.Messages, res.Message(), provider.Message{Role: provider.RoleTool, ToolCallID: res.ToolCalls[0].ID, Content: []provider.Block{provider.Text("seen")}})
	_, res, err = call(t, req)
	if err != nil || len(res.ToolCalls) != 0 || provider.PlainText(res.Content) != "seen" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestMaxTokensCuts(t *testing.T) {
	t.Parallel()
	req := ask("one two three", "")
	req.MaxTokens = 2
	_, res, err := call(t, req)
	if err != nil || provider.PlainText(res.Content) != "one two " || res.StopReason != provider.StopMaxTokens {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestCancelInterruptsADelay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_, err := New().Call(ctx, ask("hi", `{"delayMillis":60000}`), func(provider.Event) error { return nil })
	var pe *provider.Error
	if !errors.As(err, &pe) || pe.Class != provider.Timeout || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
