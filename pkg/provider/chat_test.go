// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/openai"
	"safebeam.dev/safebeam/test/fakeprovider"
)

func TestAccentsOfChatCompletions(t *testing.T) {
	t.Parallel()
	for _, accent := range []fakeprovider.Accent{
		"", fakeprovider.AccentOllama, fakeprovider.AccentNoIndex, fakeprovider.AccentMinusOne, fakeprovider.AccentRepeatID,
		fakeprovider.AccentNoID, fakeprovider.AccentObject, fakeprovider.AccentReasoning, fakeprovider.AccentWhole, fakeprovider.AccentNoDone, fakeprovider.AccentParts,
	} {
		t.Run(string(accent), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, targets[2])
			reply := full()
			reply.Accent = accent
			w.fake.Enqueue(reply)
			res := w.must(w.ask("hi"))
			if len(res.ToolCalls) != 2 || res.StopReason != provider.StopToolUse || textOf(res) != "It is grün 🌱." || res.Content[0].Text != "let me think <&>" {
				t.Fatalf("%+v", res)
			}
			seen := map[string]bool{}
			for i := range res.ToolCalls {
				if accent == fakeprovider.AccentNoID {
					seen[res.ToolCalls[i].ID] = true
					res.ToolCalls[i].ID = []string{"call_a", "call_b"}[i]
				}
			}
			if accent == fakeprovider.AccentNoID && (len(seen) != 2 || seen[""]) {
				t.Errorf("minted ids %v", seen)
			}
			want := []provider.ToolCall{{ID: "call_a", Name: "look", Input: `{"at":"x"}`}, {ID: "call_b", Name: "smell", Input: `{"id":123456789012345678}`}}
			if d := cmp.Diff(want, res.ToolCalls); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			req := w.ask("")
			req.Messages = []provider.Message{user("hi"), res.Message(), result("call_a", "1"), result("call_b", "2")}
			w.must(req)
		})
	}
}

func TestEqualIDsAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[2])
	w.fake.Enqueue(fakeprovider.Reply{Blocks: []fakeprovider.Block{
		{Kind: fakeprovider.Tool, ID: "call_0", Name: "look", Deltas: []string{`{"n":1}`}},
		{Kind: fakeprovider.Tool, ID: "call_0", Name: "look", Deltas: []string{`{"n":2}`}},
	}})
	res := w.must(w.ask("hi"))
	if len(res.ToolCalls) != 2 || res.ToolCalls[0].ID == res.ToolCalls[1].ID || res.ToolCalls[1].Input != `{"n":2}` {
		t.Errorf("%+v", res.ToolCalls)
	}
}

func TestFinishReasonThatIsAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[2])
	for reason, want := range map[string]provider.Class{"insufficient_system_resource": provider.Overloaded, "error": provider.Internal} {
		reply := fakeprovider.Say("half of an")
		reply.RawStop = reason
		w.fake.Enqueue(reply)
		if pe := w.fail(w.ask("hi")); pe.Class != want || pe.RequestID != "req_fake" || !strings.Contains(pe.Message, reason) {
			t.Errorf("%+v", pe)
		}
	}
}

func TestNewerNameOfMaxTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[2])
	req := w.ask("hi")
	req.Parameters = json.RawMessage(`{"max_completion_tokens":99}`)
	w.must(req)
	if at(w.body(), "max_completion_tokens") != 99.0 || at(w.body(), "max_tokens") != nil {
		t.Errorf("%s", w.fake.Last().Body)
	}
}

func TestWireFormatByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, targets[2])
	for format, want := range map[string]fakeprovider.Protocol{"": fakeprovider.Chat, provider.WireChat: fakeprovider.Chat, provider.WireResponses: fakeprovider.Responses} {
		cfg := w.cfg
		cfg.WireFormat = format
		p, err := openai.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Call(t.Context(), w.ask("hi"), func(provider.Event) error { return nil }); err != nil {
			t.Error(err)
		}
		if got := w.fake.Last().Protocol; got != want {
			t.Errorf("format %q speaks %s", format, got)
		}
	}
	w.cfg.WireFormat = "morse"
	if _, err := openai.New(w.cfg); err == nil {
		t.Error("an unknown wire format is taken")
	}
	if p, err := openai.New(provider.Config{Key: w.cfg.Key}); err != nil || p == nil {
		t.Errorf("OpenAI itself: %v", err)
	}
}
