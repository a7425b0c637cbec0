// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestKeyCannotBePrinted(t *testing.T) {
	t.Parallel()
	const secret = "sk-0123456789abcdef/+="
	k := NewKey(secret)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", k, "cfg", Config{Key: k})
	js, err := json.Marshal(map[string]any{"k": k})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %q %x %d", k, k, k, k, k, k, k),
		fmt.Sprintf("%+v", Config{Key: k}), log.String(), string(js)} {
		if strings.Contains(s, "0123456789") || strings.Contains(s, fmt.Sprintf("%x", "0123456789")) {
			t.Errorf("the key shows in %s", s)
		}
	}
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	k := NewKey("sk-0123456789abcdef/+=")
	for name, tc := range map[string]struct{ in, want string }{
		"whole":            {"key sk-0123456789abcdef/+= is bad", "key [redacted] is bad"},
		"twice":            {"sk-0123456789abcdef/+=,sk-0123456789abcdef/+=", "[redacted],[redacted]"},
		"the beginning":    {"key sk-0123456789… is bad", "key [redacted]… is bad"},
		"the end":          {"key ***6789abcdef/+= is bad", "key ***[redacted] is bad"},
		"in a URL":         {"?key=sk-0123456789abcdef%2F%2B%3D&x", "?key=[redacted]&x"},
		"in base64":        {"Basic c2stMDEyMzQ1Njc4OWFiY2RlZi8rPQ==", "Basic [redacted]"},
		"a short piece":    {"sk-01 is a prefix", "sk-01 is a prefix"},
		"nothing of it":    {"all is well", "all is well"},
		"beside multibyte": {"ключ sk-0123456789abcdef/+= ж", "ключ [redacted] ж"},
	} {
		if got := k.Redact(tc.in); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	var none *Key
	if got := none.Redact("x"); got != "x" {
		t.Errorf("no key: %q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "0.5": 500 * time.Millisecond, "-1": 0, "soon": 0, "1e300": maxRetryAfter, "259200": maxRetryAfter,
		"Sun, 01 Nov 2026 12:00:09 GMT": 9 * time.Second, "Sun, 01 Nov 2026 11:00:00 GMT": 0, "NaN": 0, "+Inf": maxRetryAfter,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
	if got := RetryAfter(http.Header{"Retry-After": {"3"}, "Retry-After-Ms": {"250"}}, now); got != 250*time.Millisecond {
		t.Errorf("milliseconds: %s", got)
	}
}

func TestDelayInAMessage(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"Rate limit reached for gpt-5 on tokens per min. Limit 30000, Used 29000. Please try again in 11.054s. Visit …": 11054 * time.Millisecond,
		"Please try again in 120ms.":          120 * time.Millisecond,
		"Please try again in 6m0s.":           6 * time.Minute,
		"please Try again in 1h2m3.5s":        time.Hour + 2*time.Minute + 3500*time.Millisecond,
		"Please try again in 99999h":          maxRetryAfter,
		"Please try again in a few moments.":  0,
		"Please try again in 5 spoons":        0,
		"Please try again in 3somethings":     0,
		"The engine is currently overloaded.": 0,
	} {
		if got := RetryAfterMessage(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestContextTooLongIsToldFromOtherRefusals(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"prompt is too long: 210000 tokens > 200000 maximum":                                                true,
		"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000":                       true,
		"This model's maximum prompt length is 131072 but the request contains 140000 tokens.":              true,
		"the request exceeds the available context size. try increasing the context size":                   true,
		"Please reduce the length of the messages or completion.":                                           true,
		"max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-x":      false,
		"Unsupported parameter: 'max_tokens' is not supported with this model.":                             false,
		"Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length 40": false,
	} {
		if got := IsContextTooLong(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestCallIDsAreFitForTheStrictest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxCallID+1)
	call := func(ids ...string) Message {
		m := Message{Role: RoleAssistant}
		for _, id := range ids {
			m.ToolCalls = append(m.ToolCalls, ToolCall{ID: id, Name: "f"})
		}
		return m
	}
	// The second message's ids are those of the first, and one message has an
	// id twice.
	history := Repair([]Message{
		call("toolu_01", "functions.look:0", long), {Role: RoleTool, ToolCallID: "functions.look:0", Content: []Block{Text("mine")}},
		call("toolu_01", "functions.look:0", "functions_look_0"),
		call("same", "same"), call(""),
	})
	before := fmt.Sprint(history)
	got := CallIDs(history)
	if again := CallIDs(history); !cmp.Equal(got, again) {
		t.Error("the same history gives other names")
	}
	if fmt.Sprint(history) != before {
		t.Error("the history was changed")
	}
	seen := map[string]bool{}
	var open []string
	for i, m := range got {
		for _, c := range m.ToolCalls {
			if !fit(c.ID) || seen[c.ID] {
				t.Errorf("message %d: id %q", i, c.ID)
			}
			seen[c.ID] = true
			open = append(open, c.ID)
		}
		if m.Role != RoleTool {
			continue
		}
		if len(open) == 0 || open[0] != m.ToolCallID {
			t.Fatalf("message %d answers %q, the calls that wait are %v", i, m.ToolCallID, open)
		}
		open = open[1:]
	}
	if len(seen) != 9 || got[0].ToolCalls[0].ID != "toolu_01" || PlainText(got[2].Content) != "mine" {
		t.Errorf("%d ids, %+v", len(seen), got)
	}
}

func TestFailureOfAToolIsTold(t *testing.T) {
	t.Parallel()
	img := Block{Kind: KindImage, Image: &Image{}}
	for name, tc := range map[string]struct {
		content []Block
		failed  bool
		text    string // where the protocol has a mark
		marked  string // where it has none
	}{
		"a result":         {[]Block{Text("seen")}, false, "seen", "seen"},
		"a failure":        {[]Block{Text("no such file")}, true, "no such file", "Error: no such file"},
		"one that says so": {[]Block{Text("ERROR 5")}, true, "ERROR 5", "ERROR 5"},
		"a silent one":     {nil, true, silentFailure, "Error: " + silentFailure},
		"a blank one":      {[]Block{Text(" \n")}, true, silentFailure, "Error: " + silentFailure},
		"with a picture":   {[]Block{img}, true, "", "Error: "},
		"a silent success": {nil, false, "", ""},
	} {
		m := Message{Role: RoleTool, IsError: tc.failed, Content: tc.content}
		if got := PlainText(ToolResult(m)); got != tc.text {
			t.Errorf("%s: %q", name, got)
		}
		if got := PlainText(MarkedToolResult(m)); got != tc.marked {
			t.Errorf("%s, marked: %q", name, got)
		}
		if HasImage(tc.content) != HasImage(MarkedToolResult(m)) {
			t.Errorf("%s: the picture is lost", name)
		}
	}
}

func TestInputIsAlwaysAnObject(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "{}", " ": "{}", "null": "{}", "{}": "{}", ` {"a": 1} `: `{"a": 1}`, `{"a":`: `{"invalid_json":"{\"a\":"}`, `[1]`: `{"invalid_json":"[1]"}`, `{"a":1}x`: `{"invalid_json":"{\"a\":1}x"}`,
	} {
		if got := string(InputObject(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestMergeLetsTheTurnWin(t *testing.T) {
	t.Parallel()
	b := Body{"temperature": 0.5, "gen": Body{"max": 3, "deep": Body{"x": 1}}, "list": []int{1}}
	got, err := b.Merge([]byte(`{"temperature":1,"big":12345678901234567890,"gen":{"max":9,"top":2,"deep":{"y":2}},"list":[7],"html":"<&>"}`))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Encode(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"big":12345678901234567890,"gen":{"deep":{"x":1,"y":2},"max":3,"top":2},"html":"<&>","list":[1],"temperature":0.5}`
	if string(raw) != want {
		t.Errorf("\n got %s\nwant %s", raw, want)
	}
}

// native covers are "text:…", "call:…", "name:…" or nothing, in this test.
func coverTest(data []byte) (Cover, bool) {
	kind, arg, _ := strings.Cut(string(data), ":")
	switch kind {
	case "text":
		return Cover{Text: arg}, true
	case "call":
		return Cover{CallID: arg}, true
	case "name":
		return Cover{CallName: arg}, true
	case "bad":
		return Cover{}, false
	}
	return Cover{}, true
}

func TestArrange(t *testing.T) {
	t.Parallel()
	native := func(s string) Block {
		return Block{Kind: KindNative, Native: &Native{Provider: "p", Model: "m", Data: []byte(s)}}
	}
	foreign := Block{Kind: KindNative, Native: &Native{Provider: "p", Model: "other", Data: []byte("alone")}}
	calls := []ToolCall{{ID: "a", Name: "look"}, {ID: "b", Name: "look"}, {ID: "c", Name: "smell"}}
	for name, tc := range map[string]struct {
		content []Block
		want    string
	}{
		"calls come last":                       {[]Block{Text("x")}, "x a b c"},
		"thinking is left out":                  {[]Block{{Kind: KindThinking, Text: "hm"}, Text("x")}, "x a b c"},
		"a native stands alone":                 {[]Block{native("alone"), Text("x")}, "<alone> x a b c"},
		"another model's is left out":           {[]Block{foreign, Text("x")}, "x a b c"},
		"one it cannot read is left out":        {[]Block{native("bad"), Text("x")}, "x a b c"},
		"a native covers the text before it":    {[]Block{Text("xyz"), native("text:xyz")}, "<text:xyz> a b c"},
		"or the end of it":                      {[]Block{Text("xyz"), native("text:yz")}, "x <text:yz> a b c"},
		"an edited text wins":                   {[]Block{Text("xyz!"), native("text:xyz")}, "xyz! a b c"},
		"a native stands for its call":          {[]Block{native("call:b"), Text("x")}, "<call:b>=b x a c"},
		"by name, in order":                     {[]Block{native("name:look"), native("name:look")}, "<name:look>=a <name:look>=b c"},
		"a call that is gone takes its native":  {[]Block{native("call:zz")}, "a b c"},
		"a third of two is no call of anything": {[]Block{native("name:smell"), native("name:smell")}, "<name:smell>=c a b"},
	} {
		var got []string
		for _, p := range Arrange(Message{Role: RoleAssistant, Content: tc.content, ToolCalls: calls}, "p", "m", coverTest) {
			switch {
			case p.Native != nil && p.Call != nil:
				got = append(got, "<"+string(p.Native)+">="+p.Call.ID)
			case p.Native != nil:
				got = append(got, "<"+string(p.Native)+">")
			case p.Call != nil:
				got = append(got, p.Call.ID)
			default:
				got = append(got, p.Block.Text)
			}
		}
		if d := cmp.Diff(tc.want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
	}
}

// What counts is all that is kept, by whatever way it came.
func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("x", 1<<20)
	for name, keep := range map[string]func(a *Answer) error{
		"text": func(a *Answer) error {
			b, err := a.Start(KindText)
			if err != nil {
				return err
			}
			return b.Write(piece)
		},
		"native blocks": func(a *Answer) error {
			place, err := a.Place()
			if err != nil {
				return err
			}
			return place.SetNative([]byte(piece))
		},
		"what a provider's package holds": func(a *Answer) error { return a.Hold(len(piece)) },
		"names of tools": func(a *Answer) error {
			_, err := a.StartTool("id", piece)
			return err
		},
	} {
		a := NewAnswer("p", "m", func(Event) error { return nil })
		kept := 0
		for kept <= 2*maxAnswer {
			if keep(a) != nil {
				break
			}
			kept += len(piece)
		}
		if kept > maxAnswer || kept < maxAnswer-2*len(piece) {
			t.Errorf("%s: %d bytes were kept, the bound is %d", name, kept, maxAnswer)
		}
	}
	a := NewAnswer("p", "m", func(Event) error { return nil })
	for i := 0; ; i++ {
		if _, err := a.Place(); err != nil {
			break
		}
		if i > maxAnswer {
			t.Fatal("empty places weigh nothing")
		}
	}
}

// A gRPC message holds valid UTF-8 or is not sent at all, and JSON decoders let
// other bytes pass.
func TestAnswerIsValidUTF8WhateverCame(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pieces []string
		want   string
	}{
		"a letter in two pieces":   {[]string{"gr\xc3", "\xbcn"}, "grün"},
		"a letter in four pieces":  {[]string{"\xf0", "\x9f", "\x8c", "\xb1"}, "🌱"},
		"half a letter at the end": {[]string{"a\xf0\x9f"}, "a\uFFFD"},
		"half a letter, then more": {[]string{"\xe2\x82", "a"}, "\uFFFDa"},
		"no letter at all":         {[]string{"a\xffb"}, "a\uFFFDb"},
		"a stray end":              {[]string{"\xbcx"}, "\uFFFDx"},
	} {
		var streamed string
		a := NewAnswer("p", "m", func(ev Event) error {
			if ev.Start != nil && !utf8.ValidString(ev.Start.ToolID+ev.Start.ToolName) {
				t.Errorf("%s: start %+v", name, ev.Start)
			}
			if ev.Delta != nil {
				if !utf8.ValidString(ev.Delta.Text) || ev.Delta.Text == "" {
					t.Errorf("%s: delta %q", name, ev.Delta.Text)
				}
				streamed += ev.Delta.Text
			}
			return nil
		})
		b, err := a.Start(KindText)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range tc.pieces {
			if err := b.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.StartTool("id\xff", "name\xff"); err != nil {
			t.Fatal(err)
		}
		res, err := a.Finish(StopOther, "raw\xff", "req\xff"+strings.Repeat("x", 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if streamed != tc.want || res.Content[0].Text != tc.want {
			t.Errorf("%s: streamed %q, the message is %q, want %q", name, streamed, res.Content[0].Text, tc.want)
		}
		if !utf8.ValidString(res.RawStopReason+res.RequestID+res.ToolCalls[0].ID+res.ToolCalls[0].Name) || len(res.RequestID) > maxMessage+8 {
			t.Errorf("%s: %q, request id of %d bytes", name, res.RawStopReason, len(res.RequestID))
		}
	}
}

// FuzzRepair: whatever the turns left behind, each call is followed by its one
// result in order, and nothing but tool messages is added or lost. With ids for
// the strictest provider that still holds, and no id comes twice.
func FuzzRepair(f *testing.F) {
	f.Add([]byte("uAAabc"))
	f.Add([]byte("aAbBu"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var history []Message
		for i, c := range in {
			switch {
			case c == 'u':
				history = append(history, Message{Role: RoleUser, Content: []Block{Text(fmt.Sprint(i))}})
			case c >= 'A' && c <= 'Z':
				m := Message{Role: RoleAssistant, Content: []Block{Text(fmt.Sprint(i))}}
				for n := range int(c-'A') % 4 {
					m.ToolCalls = append(m.ToolCalls, ToolCall{ID: string(rune('a' + (i+n)%5))})
				}
				history = append(history, m)
			default:
				history = append(history, Message{Role: RoleTool, ToolCallID: string(c)})
			}
		}
		out := Repair(history)
		var kept []Message
		for i := 0; i < len(out); i++ {
			if out[i].Role == RoleTool {
				t.Fatalf("message %d is a result of nothing", i)
			}
			kept = append(kept, out[i])
			for _, call := range out[i].ToolCalls {
				i++
				if i >= len(out) || out[i].Role != RoleTool || out[i].ToolCallID != call.ID {
					t.Fatalf("call %q is not followed by its result", call.ID)
				}
			}
		}
		var want []Message
		for _, m := range history {
			if m.Role != RoleTool {
				want = append(want, m)
			}
		}
		if !cmp.Equal(want, kept) {
			t.Fatal("a message was lost or moved")
		}
		seen := map[string]bool{}
		strict := CallIDs(out)
		for i, m := range strict {
			for n, call := range m.ToolCalls {
				answer := strict[i+1+n]
				if !fit(call.ID) || seen[call.ID] || answer.ToolCallID != call.ID {
					t.Fatalf("call %q, seen before: %v, answered by %q", call.ID, seen[call.ID], answer.ToolCallID)
				}
				seen[call.ID] = true
				if !cmp.Equal(answer.Content, out[i+1+n].Content) {
					t.Fatal("a result went to another call")
				}
			}
		}
	})
}
