// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func channelNamed(name string, scope tightbeamv1.ConversationScope, senders ...string) *tightbeamv1.TightbeamChannel {
	return &tightbeamv1.TightbeamChannel{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: tightbeamv1.TightbeamChannelSpec{
			AllowedSenders: senders, Conversation: &tightbeamv1.ChannelConversation{Scope: scope},
		},
	}
}

func TestNobodyIsHeardUnlessAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		senders []string
		sender  string
		want    bool
	}{
		{nil, "a", false},
		{[]string{"*"}, "a", true},
		{[]string{"*"}, "", true},
		{[]string{"a", "b"}, "b", true},
		{[]string{"a"}, "A", false},
		{[]string{"a"}, "", false},
		{[]string{""}, "", false},
	} {
		if got := allowed(channelNamed("c", "", c.senders...), c.sender); got != c.want {
			t.Errorf("%q by %q: %v", c.sender, c.senders, got)
		}
	}
}

func TestAScopeSaysWhatSharesAConversation(t *testing.T) {
	t.Parallel()
	at := func(channel, thread, message string) *pb.ChannelAddress {
		return &pb.ChannelAddress{ChannelId: channel, ThreadId: thread, MessageId: message}
	}
	type message struct {
		sender string
		at     *pb.ChannelAddress
	}
	for _, c := range []struct {
		scope tightbeamv1.ConversationScope
		a, b  message
		same  bool
	}{
		{"Thread", message{"a", at("c", "t", "1")}, message{"b", at("c", "t", "2")}, true},
		{"Thread", message{"a", at("c", "t", "1")}, message{"a", at("c", "u", "2")}, false},
		{"Thread", message{"a", at("c", "t", "1")}, message{"a", at("d", "t", "2")}, false},
		{"Thread", message{"a", at("c", "", "1")}, message{"b", at("c", "", "2")}, true},
		{"Thread", message{"a", nil}, message{"a", nil}, true},
		{"Thread", message{"a", nil}, message{"b", nil}, false},
		{"", message{"a", at("c", "t", "1")}, message{"b", at("c", "t", "2")}, true},
		{"Channel", message{"a", at("c", "t", "1")}, message{"b", at("c", "u", "2")}, true},
		{"Channel", message{"a", at("c", "t", "1")}, message{"a", at("d", "t", "2")}, false},
		{"Sender", message{"a", at("c", "t", "1")}, message{"a", at("d", "u", "2")}, true},
		{"Sender", message{"a", at("c", "t", "1")}, message{"b", at("c", "t", "2")}, false},
		// No id can be mistaken for another kind of id.
		{"Thread", message{"c", nil}, message{"x", at("c", "", "")}, false},
	} {
		channel := channelNamed("c", c.scope)
		a, b := conversationName(channel, c.a.sender, c.a.at), conversationName(channel, c.b.sender, c.b.at)
		if (a == b) != c.same {
			t.Errorf("%s: %v and %v are %s and %s", c.scope, c.a, c.b, a, b)
		}
	}
}

func TestNamesOfAnyPlatformAreNamesOfObjects(t *testing.T) {
	t.Parallel()
	for _, channel := range []string{"c", strings.Repeat("x", 63), strings.Repeat("x", 45) + "-." + "y", "a.b"} {
		at := &pb.ChannelAddress{ChannelId: "<#C12>\x00", MessageId: strings.Repeat("ö", 5000)}
		for _, got := range []string{turnName(channel, at), conversationName(channelNamed(channel, ""), "../..", at)} {
			if errs := validation.IsDNS1123Subdomain(got); len(errs) > 0 || len(got) > 63 {
				t.Errorf("%q: %v", got, errs)
			}
		}
	}
	if turnName("c", nil) != "" || turnName("c", &pb.ChannelAddress{ChannelId: "x"}) != "" {
		t.Error("a message without id has a name")
	}
}

func TestOnlyTextLeaves(t *testing.T) {
	t.Parallel()
	turn := func(phase tightbeamv1.TurnPhase, change func(*tightbeamv1.Turn)) *tightbeamv1.Turn {
		turn := &tightbeamv1.Turn{Status: tightbeamv1.TurnStatus{Phase: phase, Message: &tightbeamv1.Message{
			Content: []tightbeamv1.ContentBlock{
				{Thinking: ptr.To("secret thought")}, {Text: ptr.To("one")}, {Text: ptr.To("")}, {Native: &tightbeamv1.NativeBlock{}}, {Text: ptr.To("two")},
			},
			ToolCalls: []tightbeamv1.ToolCall{{ID: "secret", Name: "tool"}},
		}}}
		if change != nil {
			change(turn)
		}
		return turn
	}
	for name, c := range map[string]struct {
		turn *tightbeamv1.Turn
		want string
	}{
		"an answer":      {turn(tightbeamv1.TurnSucceeded, nil), "one\n\ntwo"},
		"the router":     {turn(tightbeamv1.TurnSucceeded, func(t *tightbeamv1.Turn) { t.Spec.Agent = tightbeamv1.RouterAgent }), ""},
		"cancelled":      {turn(tightbeamv1.TurnCancelled, nil), ""},
		"not over":       {turn(tightbeamv1.TurnRunning, nil), ""},
		"failed somehow": {turn(tightbeamv1.TurnFailed, nil), "(no answer: Internal)"},
		"failed by class": {turn(tightbeamv1.TurnFailed, func(t *tightbeamv1.Turn) {
			t.Status.Error = &tightbeamv1.TurnError{Class: "Auth", Message: "key sk-1 is bad"}
		}), "(no answer: Auth)"},
	} {
		if got := answer(c.turn); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if !strings.Contains(refusal(apierrors.NewTooManyRequests("", 1)), "busy") || strings.Contains(refusal(apierrors.NewBadRequest("secret")), "secret") {
		t.Error("refusals")
	}
}

func TestASlowAgentIsSentAwayAndTheOthersAreServed(t *testing.T) {
	t.Parallel()
	h := &Hub{subscribers: map[string]map[*Subscription]struct{}{}}
	slow, quick, elsewhere := h.Subscribe("ns"), h.Subscribe("ns"), h.Subscribe("other")
	for i := range queued + 1 {
		want := 2
		if i == queued {
			want = 1
		}
		if got := h.publish("ns", &pb.InboundMessage{}); got != want {
			t.Fatalf("message %d went to %d", i, got)
		}
		<-quick.Messages
	}
	select {
	case <-slow.Lost:
	default:
		t.Error("the slow agent is not told")
	}
	if len(elsewhere.Messages) != 0 {
		t.Error("another namespace listens")
	}
	slow.Close()
	quick.Close()
	elsewhere.Close()
	if len(h.subscribers) != 0 {
		t.Error("subscribers are left")
	}
}
