// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"bytes"
	"slices"
	"testing"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/harness"
)

const resumed = string(tightbeamv1.TurnEventResumed)

// terminal reports whether an event is the last one of a turn or an execution.
func terminal(eventType string) bool {
	return tightbeamv1.TurnEventType(eventType).Terminal() || v1.ExecutionEventType(eventType).Terminal()
}

// checkEvents compares the events that a reader saw, over all its connections,
// with those that the server tells now. what is their source, whose log is at path
// below /apis, and whose status names the last one.
func checkEvents(t *testing.T, s *harness.Server, what, path string, lastEvent int64, seen []line) {
	body, err := s.GetAPI(path + "?follow=true")
	if err != nil {
		t.Error(err)
		return
	}
	stored := map[int64]string{}
	var last int64
	var types []string
	for text := range bytes.Lines(body) {
		event, err := decode(text)
		if err != nil {
			t.Errorf("%s: %v in %q", what, err, text)
			return
		}
		switch {
		case event.Type == resumed:
			if event.LostFrom != last+1 || event.Number != event.LostTo+1 {
				t.Errorf("%s: Resumed %d says %d to %d were lost, but %d came before it", what, event.Number, event.LostFrom, event.LostTo, last)
			}
		case event.Number != last+1:
			t.Errorf("%s: event %d follows %d", what, event.Number, last)
		}
		last = event.Number
		stored[event.Number] = event.sum
		types = append(types, event.Type)
	}
	if n := terminals(types); n != 1 || !terminal(types[len(types)-1]) {
		t.Errorf("%s has %d terminal events, and ends with %v", what, n, types[max(0, len(types)-3):])
	}
	if last != lastEvent {
		t.Errorf("%s: the last event is %d, status.lastEvent is %d", what, last, lastEvent)
	}
	checkSeen(t, what, stored, seen)
}

// checkSeen: no number named two different events, nothing came twice, and what was
// read and is not there is said to be lost.
func checkSeen(t *testing.T, what string, stored map[int64]string, seen []line) {
	var lost [][2]int64
	for _, l := range seen {
		if l.Type == resumed {
			lost = append(lost, [2]int64{l.From, l.To})
		}
	}
	before := int64(0)
	var types []string
	for _, l := range seen {
		types = append(types, l.Type)
		if l.Number <= before {
			t.Errorf("%s: a reader was sent event %d (%s) after %d", what, l.Number, l.Type, before)
		}
		before = l.Number
		if known, ok := stored[l.Number]; ok {
			if known != l.Sum {
				t.Errorf("%s: number %d named two different events", what, l.Number)
			}
			continue
		}
		if !slices.ContainsFunc(lost, func(r [2]int64) bool { return r[0] <= l.Number && l.Number <= r[1] }) {
			t.Errorf("%s: event %d (%s) was read, is not there any more, and no Resumed says that it was lost", what, l.Number, l.Type)
		}
	}
	if n := terminals(types); n != 1 {
		t.Errorf("%s: its reader saw %d terminal events: %v", what, n, types)
	}
}

func terminals(types []string) (n int) {
	for _, eventType := range types {
		if terminal(eventType) {
			n++
		}
	}
	return n
}
