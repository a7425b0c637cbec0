// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestWhatFollowsAFailure(t *testing.T) {
	t.Parallel()
	model := func(name string, fallbacks ...string) *tightbeamv1.TightbeamModel {
		m := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, f := range fallbacks {
			m.Spec.Fallbacks = append(m.Spec.Fallbacks, tightbeamv1.ModelFallback{Name: f})
		}
		return m
	}
	failed := func(classes ...tightbeamv1.ErrorClass) []tightbeamv1.TurnAttempt {
		var out []tightbeamv1.TurnAttempt
		for _, class := range classes {
			out = append(out, tightbeamv1.TurnAttempt{Model: "m", Error: &tightbeamv1.TurnError{Class: class}})
		}
		return out
	}
	const lost = tightbeamv1.ErrorJobLost
	primary := model("m", "f1", "f2")
	for _, c := range []struct {
		class      tightbeamv1.ErrorClass
		retryAfter time.Duration
		visible    bool
		attempts   []tightbeamv1.TurnAttempt
		model      *tightbeamv1.TightbeamModel
		primary    *tightbeamv1.TightbeamModel
		want       next
	}{
		{class: tightbeamv1.ErrorOverloaded, want: next{"m", time.Second}},
		{class: tightbeamv1.ErrorRateLimited, want: next{"m", time.Second}},
		{class: tightbeamv1.ErrorRateLimited, retryAfter: 9 * time.Second, want: next{"m", 9 * time.Second}},
		{class: tightbeamv1.ErrorTimeout, want: next{"m", time.Second}},
		{class: tightbeamv1.ErrorTruncated, want: next{"m", time.Second}},
		{class: tightbeamv1.ErrorNetwork, want: next{"m", time.Second}},
		{class: tightbeamv1.ErrorInternal, want: next{"m", time.Second}},
		{class: tightbeamv1.ErrorInvalidRequest},
		{class: tightbeamv1.ErrorAuth, want: next{"f1", 0}},
		{class: tightbeamv1.ErrorQuotaExhausted, want: next{"f1", 0}},
		{class: tightbeamv1.ErrorContextTooLong, want: next{"f1", 0}},
		{class: lost, want: next{"m", 0}},
		{class: lost, attempts: failed(lost, lost, lost, lost, lost), want: next{"f1", 0}},
		{class: lost, attempts: failed(lost, lost, "Network", lost, lost), want: next{"m", 0}},
		{class: tightbeamv1.ErrorOverloaded, attempts: failed("Overloaded", "Overloaded"), want: next{"m", 2 * time.Second}},
		{class: tightbeamv1.ErrorOverloaded, attempts: failed("Overloaded", lost, "Overloaded"), want: next{"m", 2 * time.Second}},
		{class: tightbeamv1.ErrorOverloaded, attempts: failed("Overloaded", "Overloaded", "Overloaded"), want: next{"f1", 0}},
		{class: tightbeamv1.ErrorOverloaded, attempts: append(failed("Auth"), tightbeamv1.TurnAttempt{Model: "f1"}, tightbeamv1.TurnAttempt{Model: "f2"}),
			model: &tightbeamv1.TightbeamModel{Spec: tightbeamv1.TightbeamModelSpec{Retry: &tightbeamv1.ModelRetry{MaxAttempts: ptr.To[int32](1)}}}},
		{class: tightbeamv1.ErrorOverloaded, visible: true},
		{class: lost, visible: true},
	} {
		if c.attempts == nil {
			c.attempts = failed(c.class)
		}
		if c.model == nil {
			c.model = primary
		}
		if got := afterFailure(c.class, c.retryAfter, c.visible, c.attempts, c.model, primary); got != c.want {
			t.Errorf("%s after %d attempts, visible %v: got %v, want %v", c.class, len(c.attempts), c.visible, got, c.want)
		}
	}
	if got := afterFailure(tightbeamv1.ErrorNetwork, 0, false, failed("Network"), nil, nil); got != (next{}) {
		t.Errorf("models that are gone: %v", got)
	}
}

func TestAnAssignmentPrefersTheTurnThenTheConversationThenTheModel(t *testing.T) {
	t.Parallel()
	raw := func(s string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(s)} }
	model := &tightbeamv1.TightbeamModel{Spec: tightbeamv1.TightbeamModelSpec{
		Provider: "openai", Model: "gpt", MaxTokens: ptr.To[int32](100), BaseURL: "http://x", WireFormat: "chat",
		Thinking: &tightbeamv1.Thinking{BudgetTokens: ptr.To[int32](7)}, Parameters: raw(`{"seed":1}`),
	}}
	conversation := &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: tightbeamv1.ConversationSpec{
		System: "be kind", Tools: []tightbeamv1.Tool{{Name: "a", Parameters: raw(`{}`)}},
	}}
	turn := turnNamed("c", "one")
	at := time.UnixMilli(1234)
	got := assignment(turn, conversation, model, nil, 2, at)
	want := &pb.TurnAssignment{
		System: ptr.To("be kind"), Tools: []*pb.ToolDefinition{{Name: "a", ParametersJson: "{}"}},
		Messages: []*pb.Message{{Role: "user", Content: []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: "one"}}}}}},
		ModelConfig: &pb.ModelConfig{
			Provider: "openai", Model: "gpt", MaxTokens: 100, BaseUrl: "http://x", WireFormat: "chat",
			ParametersJson: `{"seed":1}`, ThinkingBudgetTokens: 7,
		},
		TurnUid: string(turn.UID), Attempt: 2, Namespace: testNamespace, Turn: "one", Conversation: "c", DeadlineUnixMillis: 1234,
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	turn.Spec.System, turn.Spec.Tools = ptr.To(""), []tightbeamv1.Tool{}
	turn.Spec.MaxTokens, turn.Spec.Temperature, turn.Spec.ToolChoice = ptr.To[int32](5), ptr.To(0.5), "none"
	turn.Spec.Thinking, turn.Spec.ResponseSchema = &tightbeamv1.Thinking{Effort: "low"}, raw(`{"type":"object"}`)
	got = assignment(turn, conversation, model, nil, 2, at)
	want.System, want.Tools = ptr.To(""), nil
	want.ModelConfig.MaxTokens, want.ModelConfig.Temperature, want.ModelConfig.ToolChoice = 5, ptr.To(0.5), "none"
	want.ModelConfig.ThinkingBudgetTokens, want.ModelConfig.ThinkingEffort, want.ModelConfig.ResponseSchemaJson = 0, "low", `{"type":"object"}`
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestMessagesKeepTheirMeaningOnTheWire(t *testing.T) {
	t.Parallel()
	m := tightbeamv1.Message{
		Role: "tool", ToolCallID: "x", IsError: true, Agent: "a",
		Content: []tightbeamv1.ContentBlock{
			{Text: ptr.To("")}, {Text: ptr.To("t")}, {Thinking: ptr.To("hm")},
			{Image: &tightbeamv1.ImageBlock{MediaType: "image/png", Data: []byte{1, 2}}},
			{Native: &tightbeamv1.NativeBlock{Provider: "anthropic", Model: "m", Data: []byte(`{}`)}},
		},
		ToolCalls: []tightbeamv1.ToolCall{{ID: "i", Name: "n", Input: &runtime.RawExtension{Raw: []byte(`{"a":1}`)}}},
	}
	back, err := MessageFromProto(MessageToProto(&m))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Error(diff)
	}
	for wire, reason := range stopReasons {
		if stopReasonToProto(stopReasonFromProto(wire)) != wire || reason == "" {
			t.Errorf("stop reason %v", wire)
		}
	}
	if len(stopReasons) != len(pb.StopReason_name)-1 || len(errorClasses) != len(pb.ErrorClass_name)-1 {
		t.Error("a name of the wire has none in the API")
	}
	for _, bad := range []string{"[]", "null", "1", `{"a"`, `"x"`, `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}"} {
		if _, err := RawFromJSON(bad, false); err == nil {
			t.Errorf("%s is taken for an object", bad)
		}
	}
}

func TestAnAttemptIsRestoredFromEveryCut(t *testing.T) {
	t.Parallel()
	at := metav1.NewMicroTime(time.Unix(1, 0))
	index := ptr.To[int32](0)
	all := []*tightbeamv1.TurnEvent{
		{Number: 1, Type: "Started", Attempt: 1},
		{Number: 2, Type: "AttemptFailed", Attempt: 1, Error: &tightbeamv1.TurnError{Class: "Network"}},
		{Number: 3, Type: "Started", Attempt: 2},
		{Number: 4, Type: "BlockDelta", Index: index, Thinking: "hm"},
		{Number: 5, Type: "BlockDelta", Index: index, Text: "a", Time: at},
		{Number: 6, Type: "Usage", Usage: &tightbeamv1.Usage{OutputTokens: 9}},
		{Number: 7, Type: "BlockDelta", Index: index, Text: "b"},
		{Number: 8, Type: "AttemptFailed", Attempt: 2, Error: &tightbeamv1.TurnError{Class: "Network"}},
	}
	status := &tightbeamv1.TurnAttempt{Model: "m", Job: "j"}
	// What precedes the attempt's status is durable with it: the cut is at 2 at
	// the earliest.
	for cut := 2; cut <= len(all); cut++ {
		a := restoreAttempt(2, status, all[:cut], int64(cut))
		if a.base != 3 || a.number != 2 || a.model != "m" || a.job != "j" {
			t.Errorf("cut %d: %+v", cut, a)
		}
		if want := max(int64(cut)-3, 0); a.sequence != want {
			t.Errorf("cut %d: sequence %d, want %d", cut, a.sequence, want)
		}
		if want := cut >= 5; a.visible != want || (a.firstToken != nil) != want {
			t.Errorf("cut %d: visible %v", cut, a.visible)
		}
		if want := cut >= 6; (a.usage != nil) != want {
			t.Errorf("cut %d: usage %v", cut, a.usage)
		}
		if want := cut >= 8; (a.failed != nil) != want {
			t.Errorf("cut %d: failed %v", cut, a.failed)
		}
	}
	if a := restoreAttempt(2, status, all[:7], 7); *a.blocks.content()[0].Text != "ab" {
		t.Error("the text is lost")
	}
	if a := restoreAttempt(2, status, append(all[:7:7], &tightbeamv1.TurnEvent{Number: 99, Type: "Resumed"}), 99); !a.broken {
		t.Error("an attempt that was given up goes on")
	}
}

func TestEveryChunkHasItsEventAndIsItselfOnTheWireAgain(t *testing.T) {
	t.Parallel()
	event := &tightbeamv1.TurnEvent{} // used again, as a stream does
	for _, c := range []struct {
		chunk   *pb.TurnResultChunk
		visible bool
	}{
		{textChunk("a"), true},
		{textChunk(""), false},
		{&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ThinkingDelta{ThinkingDelta: &pb.ThinkingDelta{Text: "a"}}}, false},
		{&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ToolUseStart{ToolUseStart: &pb.ToolUseStart{Id: "i", Name: "n"}}}, true},
		{&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ToolUseInput{ToolUseInput: &pb.ToolUseInput{PartialJson: "{"}}}, true},
		{&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_BlockStart{BlockStart: &pb.BlockStart{Kind: "thinking"}}}, false},
		{&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_BlockStop{BlockStop: &pb.BlockStop{}}}, false},
		{&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Usage{Usage: &pb.Usage{InputTokens: 1}}}, false},
	} {
		if c.chunk.GetUsage() == nil {
			c.chunk.BlockIndex = 3
		}
		if err := chunkEvent(c.chunk, event); err != nil {
			t.Fatal(err)
		}
		if visible(event) != c.visible {
			t.Errorf("%v: visible %v", c.chunk, !c.visible)
		}
		event.Number = 7
		out, err := EventToProto(encodeEvent(event))
		if err != nil {
			t.Fatal(err)
		}
		field := c.chunk.ProtoReflect().WhichOneof(c.chunk.ProtoReflect().Descriptor().Oneofs().ByName("chunk"))
		same := out.ProtoReflect().WhichOneof(out.ProtoReflect().Descriptor().Oneofs().ByName("event"))
		if field.Number() != same.Number() || out.GetNumber() != 7 || out.GetBlockIndex() != c.chunk.GetBlockIndex() {
			t.Errorf("%v became %v", c.chunk, out)
		}
		if diff := cmp.Diff(c.chunk.ProtoReflect().Get(field).Message().Interface(), out.ProtoReflect().Get(same).Message().Interface(), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}
