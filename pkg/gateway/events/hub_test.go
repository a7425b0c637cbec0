// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"strings"
	"testing"
)

func numbers(events []Event) []int64 {
	var out []int64
	for _, e := range events {
		out = append(out, e.Number)
	}
	return out
}

func TestTheHubKeepsWhatIsNotDurable(t *testing.T) {
	t.Parallel()
	h := NewHub(0)
	big := []byte(strings.Repeat("x", KeepBytes/4))
	for n := range int64(10) {
		h.Append(Event{Number: n + 1, JSON: big})
	}
	if got := len(h.Pending()); got != 10 {
		t.Errorf("%d pending", got)
	}
	h.Persisted(8)
	if events, older, _, _ := h.After(0); !older || len(events) > 0 {
		t.Error("trimmed events are not told to be in the journal")
	}
	events, older, ended, _ := h.After(8)
	if older || ended || len(events) != 2 {
		t.Errorf("after 8: %v, older %v", numbers(events), older)
	}
	if got := numbers(h.Pending()); len(got) != 2 || got[0] != 9 {
		t.Errorf("pending %v", got)
	}
}

func TestTheHubForgetsSeldomAndKeepsSomeForReadersBehind(t *testing.T) {
	t.Parallel()
	h := NewHub(0)
	quarter := []byte(strings.Repeat("x", KeepBytes/4))
	for n := range int64(4) {
		h.Append(Event{Number: n + 1, JSON: quarter})
		h.Persisted(n + 1)
	}
	if events, older, _, _ := h.After(0); older || len(events) != 4 {
		t.Errorf("before it is full: %v, older %v", numbers(events), older)
	}
	h.Append(Event{Number: 5, JSON: quarter})
	h.Persisted(5)
	if events, older, _, _ := h.After(3); older || len(events) != 2 {
		t.Errorf("after 3: %v, older %v", numbers(events), older)
	}
	if events, older, _, _ := h.After(2); !older || len(events) != 0 {
		t.Errorf("after 2: %v, older %v", numbers(events), older)
	}
}

func TestTheHubNeverForgetsTheTerminalEvent(t *testing.T) {
	t.Parallel()
	h := NewHub(0)
	big := []byte(strings.Repeat("x", KeepBytes+1))
	h.Append(Event{Number: 1, JSON: big})
	h.End(Event{Number: 2, Last: true, JSON: big})
	// A flush that began before the end returns after it.
	h.Persisted(1)
	if last, ended := h.Terminal(); !ended || last.Number != 2 {
		t.Errorf("terminal event %d, ended %v", last.Number, ended)
	}
	if events, older, ended, _ := h.After(1); older || !ended || len(events) != 1 {
		t.Errorf("after 1: %v, older %v, ended %v", numbers(events), older, ended)
	}
}

func TestAGapInTheHubIsNoMissingEvent(t *testing.T) {
	t.Parallel()
	h := NewHub(5) // 6 to 10 may have been lost
	h.Append(Event{Number: 11})
	for _, after := range []int64{5, 8, 10} {
		if events, older, _, _ := h.After(after); older || len(events) != 1 {
			t.Errorf("after %d: %v, older %v", after, numbers(events), older)
		}
	}
	if _, older, _, _ := h.After(3); !older {
		t.Error("what was durable before is in the journal")
	}
}
