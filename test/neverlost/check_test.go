// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/harness"
)

// check holds what the client wrote down against what the server has.
func check(t *testing.T, s *harness.Server, r record) {
	t.Helper()
	list, err := s.Client.TightbeamV1().Turns(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	turns := map[string]*tightbeamv1.Turn{}
	phases := map[tightbeamv1.TurnPhase]int{}
	for i := range list.Items {
		turn := &list.Items[i]
		turns[turn.Name] = turn
		phases[turn.Status.Phase]++
	}
	events := 0
	for name := range r.acknowledged {
		turn := turns[name]
		if turn == nil {
			t.Errorf("turn %s was acknowledged and is gone", name)
			continue
		}
		if !turn.Status.Phase.Terminal() {
			t.Errorf("turn %s is %s after its terminal event was read", name, turn.Status.Phase)
		}
		checkEvents(t, s, "turn "+name, turnLog(name), turn.Status.LastEvent, r.seen[name])
		events += len(r.seen[name])
	}
	conversations, err := s.Client.TightbeamV1().Conversations(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range conversations.Items {
		checkLog(t, s, conversations.Items[i].Name, turns)
	}
	t.Logf("%d turns acknowledged, %d stored %v, %d events read", len(r.acknowledged), len(turns), phases, events)
}

// checkLog compares a conversation's message log with its turns.
func checkLog(t *testing.T, s *harness.Server, conversation string, turns map[string]*tightbeamv1.Turn) {
	body, err := s.Get("conversations/" + conversation + "/log")
	if err != nil {
		t.Error(err)
		return
	}
	var index int64
	var position int64
	answered := map[string]int{}
	asked := map[string]int{}
	for text := range bytes.Lines(body) {
		var entry tightbeamv1.LogEntry
		if err := json.Unmarshal(text, &entry); err != nil {
			t.Errorf("conversation %s: %v in %q", conversation, err, text)
			return
		}
		if index++; entry.Index != index {
			t.Errorf("conversation %s: message %d has the index %d", conversation, index, entry.Index)
		}
		turn := turns[entry.Turn]
		if turn == nil {
			t.Errorf("conversation %s: message %d is of turn %q, which does not exist", conversation, index, entry.Turn)
			continue
		}
		if turn.Status.Position < position {
			t.Errorf("conversation %s: message %d of turn %s (position %d) comes after one of position %d", conversation, index, entry.Turn, turn.Status.Position, position)
		}
		position = turn.Status.Position
		if entry.Role == tightbeamv1.RoleUser {
			asked[entry.Turn]++
		} else if !entry.Partial {
			answered[entry.Turn]++
		}
	}
	for name, turn := range turns {
		if turn.Spec.Conversation != conversation {
			continue
		}
		wantAsked, wantAnswered := 0, 0
		if len(turn.Status.Attempts) > 0 {
			wantAsked = len(turn.Spec.Messages)
		}
		if turn.Status.Phase == tightbeamv1.TurnSucceeded {
			wantAnswered = 1
		}
		if asked[name] != wantAsked || answered[name] != wantAnswered {
			t.Errorf("conversation %s: the log has %d questions and %d answers of turn %s (%s), want %d and %d",
				conversation, asked[name], answered[name], name, turn.Status.Phase, wantAsked, wantAnswered)
		}
	}
}
