// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestTurnIsAnsweredAndEntersTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	if turn.Status.Position != 1 || turn.Status.Phase != tightbeamv1.TurnQueued {
		t.Errorf("created as %+v", turn.Status)
	}
	j := w.pull("echo")
	j.say("Hel", "lo")
	j.complete("Hello")
	done := w.finished("one")
	if done.Status.Phase != tightbeamv1.TurnSucceeded || done.Status.StopReason != tightbeamv1.StopEndTurn || done.Status.LastEvent != 4 {
		t.Errorf("finished as %+v", done.Status)
	}
	want := []tightbeamv1.TurnEventType{"Started", "BlockDelta", "BlockDelta", "Completed"}
	if diff := cmp.Diff(want, eventTypes(w.events(turn, 0))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"user: one", "assistant: Hello"}, w.texts("c")); diff != "" {
		t.Error(diff)
	}
	head := w.head("c")
	if len(head.Queue) != 0 || head.Positions != 1 || head.Usage.OutputTokens != 5 {
		t.Errorf("head %+v", head)
	}
}

func TestTurnsOfOneConversationRunOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	for _, name := range []string{"one", "two", "three"} {
		w.mustCreate(turnNamed("c", name))
	}
	for _, name := range []string{"one", "two", "three"} {
		j := w.pull("echo")
		if j.assignment.GetTurn() != name {
			t.Fatalf("got %s, want %s", j.assignment.GetTurn(), name)
		}
		if got := w.RunningTurn("uid-c"); got != name {
			t.Errorf("running: %q, want %q", got, name)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := w.GetTurn(ctx, testNamespace, "echo", "another"); err == nil {
			t.Error("two turns of one conversation run at once")
		}
		j.complete("answer to " + name)
	}
	w.finished("three")
	want := []string{"user: one", "assistant: answer to one", "user: two", "assistant: answer to two", "user: three", "assistant: answer to three"}
	if diff := cmp.Diff(want, w.texts("c")); diff != "" {
		t.Error(diff)
	}
}
