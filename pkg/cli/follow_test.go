// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestFollowShowsTheAnswerAndNothingElse(t *testing.T) {
	a := newAPI(t)
	index := int32(1)
	a.answer = []tightbeamv1.TurnEvent{
		{Type: tightbeamv1.TurnEventStarted},
		text("Two to "), text("three minutes."),
		{Type: tightbeamv1.TurnEventBlockStarted, Index: &index, Kind: tightbeamv1.BlockToolUse, ToolCallID: "c1", ToolName: "kettle"},
		{Type: tightbeamv1.TurnEventBlockDelta, JSON: `{"celsius":`}, {Type: tightbeamv1.TurnEventBlockDelta, JSON: `80}`},
		{Type: tightbeamv1.TurnEventBlockStopped},
		completed("Two to three minutes.", tightbeamv1.StopToolUse),
	}
	out, notes, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi", "--follow")
	if err != nil {
		t.Fatal(err)
	}
	if want := "Two to three minutes.\n[tool call c1] kettle {\"celsius\":80}\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if !strings.HasPrefix(notes, "turn.tightbeam.dev/"+a.only().Name+" created\n") || !strings.Contains(notes, "waits for the results") {
		t.Errorf("noted %q", notes)
	}
}

// It need not wait for the answer to the creation: the name is its own.
func TestTheAnswerIsAwaitedWhileTheTurnIsCreated(t *testing.T) {
	for _, c := range []struct {
		input string
		args  []string
	}{
		{"", []string{"kubectl-create-turn", "tea", "-m", "hi", "--follow"}},
		{"hi\n", []string{"kubectl-chat", "tea"}},
	} {
		a := newAPI(t)
		a.conversations["tea"] = &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Name: "tea"}}
		a.together = true
		a.answer = []tightbeamv1.TurnEvent{text("Two"), completed("Two", tightbeamv1.StopEndTurn)}
		if out, _, err := a.run(c.args[0], c.input, c.args[1:]...); err != nil || out != "Two\n" {
			t.Errorf("%v printed %q, %v", c.args, out, err)
		}
	}
}

func TestNothingIsShownOfATurnThatSomebodyElseCreated(t *testing.T) {
	a := newAPI(t)
	a.answer = []tightbeamv1.TurnEvent{text("theirs"), completed("theirs", tightbeamv1.StopEndTurn)}
	a.refuse = []error{apierrors.NewAlreadyExists(tightbeamv1.Resource("turns"), "first")}
	if out, notes, err := a.run("kubectl-create-turn", "", "tea", "--name", "first", "-m", "hi", "--follow"); err == nil || strings.Contains(out+notes, "theirs") {
		t.Errorf("printed %q and %q, %v", out, notes, err)
	}
}

func TestFollowSaysWhyTheModelOfAQueuedTurnIsNotReady(t *testing.T) {
	const why = `Secret "key" not found`
	for status, noted := range map[metav1.ConditionStatus]bool{metav1.ConditionFalse: true, metav1.ConditionTrue: false} {
		a := newAPI(t)
		a.answer = []tightbeamv1.TurnEvent{text("Two"), completed("Two", tightbeamv1.StopEndTurn)}
		a.model = &tightbeamv1.TightbeamModel{
			ObjectMeta: metav1.ObjectMeta{Name: "claude"},
			Status:     tightbeamv1.TightbeamModelStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: status, Message: why}}},
		}
		out, notes, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi", "--follow")
		if err != nil || out != "Two\n" {
			t.Errorf("printed %q, %v", out, err)
		}
		if want := "[waiting for the model claude, which is not ready: " + why + "]\n"; strings.Contains(notes, want) != noted {
			t.Errorf("Ready is %s: noted %q", status, notes)
		}
	}
}

func TestTurnThatFailsIsAnErrorOfTheCommand(t *testing.T) {
	for _, test := range []struct {
		last tightbeamv1.TurnEvent
		want string
	}{
		{tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventFailed, Error: &tightbeamv1.TurnError{Class: tightbeamv1.ErrorRateLimited, Message: "slow down", RequestID: "r1"}},
			"is Failed: RateLimited: slow down (request r1)"},
		{tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventCancelled, Reason: "by alice"}, "is Cancelled: by alice"},
	} {
		a := newAPI(t)
		a.answer = []tightbeamv1.TurnEvent{text("Two"), test.last}
		out, _, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi", "--follow")
		var failed *TurnFailedError
		if !errors.As(err, &failed) || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("error is %v, want %q", err, test.want)
		}
		if out != "Two\n" {
			t.Errorf("printed %q", out)
		}
	}
}

func TestRenderer(t *testing.T) {
	yes, no := true, false
	failure := &tightbeamv1.TurnError{Class: tightbeamv1.ErrorOverloaded, Message: "busy"}
	thinking := tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventBlockStarted, Kind: tightbeamv1.BlockThinking}
	for _, test := range []struct {
		name       string
		thinking   bool
		events     []tightbeamv1.TurnEvent
		out, notes string
	}{{
		name:   "an answer that ends with a newline gets no second one",
		events: []tightbeamv1.TurnEvent{text("a\n"), completed("a\n", tightbeamv1.StopEndTurn)},
		out:    "a\n",
	}, {
		name:   "an answer whose events were not seen is shown from its end",
		events: []tightbeamv1.TurnEvent{completed("whole", tightbeamv1.StopEndTurn)},
		out:    "whole\n",
	}, {
		name: "lost events lead to the whole answer",
		events: []tightbeamv1.TurnEvent{
			text("one "), {Type: tightbeamv1.TurnEventResumed, LostFrom: 2, LostTo: 9}, text("three"), completed("one two three", tightbeamv1.StopEndTurn),
		},
		out:   "one \nthree\none two three\n",
		notes: "[events 2 to 9 were lost when the server stopped; the answer is shown whole at its end]\n",
	}, {
		name: "attempts that fail are told",
		events: []tightbeamv1.TurnEvent{
			{Type: tightbeamv1.TurnEventAttemptFailed, Attempt: 1, Error: failure, WillRetry: &yes},
			{Type: tightbeamv1.TurnEventAttemptFailed, Attempt: 2, Error: failure, WillRetry: &no},
			completed("a", tightbeamv1.StopMaxTokens),
		},
		out:   "a\n",
		notes: "[attempt 1 failed, trying again: Overloaded: busy]\n[attempt 2 failed, giving up: Overloaded: busy]\n[the model stopped before its end: MaxTokens]\n",
	}, {
		name:   "reasoning stays hidden",
		events: []tightbeamv1.TurnEvent{thinking, {Type: tightbeamv1.TurnEventBlockDelta, Thinking: "hm"}, {Type: tightbeamv1.TurnEventBlockStopped}, completed("a", "")},
		out:    "a\n",
	}, {
		name: "unless it is asked for", thinking: true,
		events: []tightbeamv1.TurnEvent{thinking, {Type: tightbeamv1.TurnEventBlockDelta, Thinking: "hm"}, {Type: tightbeamv1.TurnEventBlockStopped}, completed("a", "")},
		out:    "a\n", notes: "[thinking] hm\n",
	}, {
		name:   "a terminal is not written to",
		events: []tightbeamv1.TurnEvent{text("\x1b]0;gotcha\x07a\tb\u009b2J\r\n"), completed("\x1b]0;gotcha\x07a\tb\u009b2J\r\n", "")},
		out:    "]0;gotchaa\tb2J\n",
	}} {
		t.Run(test.name, func(t *testing.T) {
			var out, notes bytes.Buffer
			r := newRenderer(&out, &notes, test.thinking)
			for _, event := range test.events {
				if err := r.event("t", event); err != nil {
					t.Fatal(err)
				}
			}
			if out.String() != test.out || notes.String() != test.notes {
				t.Errorf("printed %q and noted %q, want %q and %q", out.String(), notes.String(), test.out, test.notes)
			}
		})
	}
}

func TestClosedOutputEndsTheCommand(t *testing.T) {
	r := newRenderer(brokenPipe{}, io.Discard, false)
	if err := r.event("t", text("a")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error is %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
