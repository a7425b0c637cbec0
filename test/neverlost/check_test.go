// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/harness"
)

// check holds what the client wrote down against what the server has.
func check(t *testing.T, s *harness.Server, lines []line) {
	t.Helper()
	acknowledged := map[string]string{}
	seen := map[string][]line{}
	for _, l := range lines {
		if l.Acknowledged != "" {
			acknowledged[l.Acknowledged] = l.Conversation
		} else {
			seen[l.Turn] = append(seen[l.Turn], l)
		}
	}
	if len(acknowledged) == 0 {
		t.Fatal("no turn was acknowledged: the test proves nothing")
	}
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
	for name := range acknowledged {
		turn := turns[name]
		if turn == nil {
			t.Errorf("turn %s was acknowledged and is gone", name)
			continue
		}
		if !turn.Status.Phase.Terminal() {
			t.Errorf("turn %s is %s after its terminal event was read", name, turn.Status.Phase)
		}
		events += checkEvents(t, s, turn, seen[name])
	}
	conversations, err := s.Client.TightbeamV1().Conversations(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range conversations.Items {
		checkLog(t, s, conversations.Items[i].Name, turns)
	}
	t.Logf("%d turns acknowledged, %d stored %v, %d events read", len(acknowledged), len(turns), phases, events)
}

// checkEvents compares the events that a reader saw, over all its connections,
// with those that the server tells now.
func checkEvents(t *testing.T, s *harness.Server, turn *tightbeamv1.Turn, seen []line) int {
	body, err := s.Get("turns/" + turn.Name + "/log?follow=true")
	if err != nil {
		t.Error(err)
		return 0
	}
	stored := map[int64]string{}
	var last int64
	var types []tightbeamv1.TurnEventType
	for text := range bytes.Lines(body) {
		var event tightbeamv1.TurnEvent
		if err := json.Unmarshal(text, &event); err != nil {
			t.Errorf("turn %s: %v in %q", turn.Name, err, text)
			return 0
		}
		switch {
		case event.Type == tightbeamv1.TurnEventResumed:
			if event.LostFrom != last+1 || event.Number != event.LostTo+1 {
				t.Errorf("turn %s: Resumed %d says %d to %d were lost, but %d came before it", turn.Name, event.Number, event.LostFrom, event.LostTo, last)
			}
		case event.Number != last+1:
			t.Errorf("turn %s: event %d follows %d", turn.Name, event.Number, last)
		}
		last = event.Number
		stored[event.Number] = sum(event)
		types = append(types, event.Type)
	}
	if n := terminals(types); n != 1 || len(types) == 0 || !types[len(types)-1].Terminal() {
		t.Errorf("turn %s has %d terminal events, and ends with %v", turn.Name, n, types[max(0, len(types)-3):])
	}
	if last != turn.Status.LastEvent {
		t.Errorf("turn %s: the last event is %d, status.lastEvent is %d", turn.Name, last, turn.Status.LastEvent)
	}
	var lost [][2]int64
	for _, l := range seen {
		if l.Type == tightbeamv1.TurnEventResumed {
			lost = append(lost, [2]int64{l.From, l.To})
		}
	}
	before := int64(0)
	var readTypes []tightbeamv1.TurnEventType
	for _, l := range seen {
		readTypes = append(readTypes, l.Type)
		if l.Number <= before {
			t.Errorf("turn %s: a reader was sent event %d (%s) after %d", turn.Name, l.Number, l.Type, before)
		}
		before = l.Number
		if known, ok := stored[l.Number]; ok {
			if known != l.Sum {
				t.Errorf("turn %s: number %d named two different events", turn.Name, l.Number)
			}
			continue
		}
		if !slices.ContainsFunc(lost, func(r [2]int64) bool { return r[0] <= l.Number && l.Number <= r[1] }) {
			t.Errorf("turn %s: event %d (%s) was read, is not there any more, and no Resumed says that it was lost", turn.Name, l.Number, l.Type)
		}
	}
	if n := terminals(readTypes); n != 1 {
		t.Errorf("turn %s: its reader saw %d terminal events: %v", turn.Name, n, readTypes)
	}
	return len(seen)
}

func terminals(types []tightbeamv1.TurnEventType) (n int) {
	for _, eventType := range types {
		if eventType.Terminal() {
			n++
		}
	}
	return n
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
