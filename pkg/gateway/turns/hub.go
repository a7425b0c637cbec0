// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"sync"
)

// keepBytes is how much of a turn's durable events stays in memory for readers
// that are a little behind. Whoever is further behind reads the journal.
const keepBytes = 64 << 10

// hub has the newest events of one unfinished turn: all that are not durable
// yet, and some that are.
//
//	first            durable         next
//	  │ ── readable here ── │ ── pending ── │
//	──┴─────────────────────┴───────────────┴──▶ number
//	older: in the journal
type hub struct {
	mu      sync.Mutex
	events  []Event
	bytes   int
	durable int64 // number of the last durable event
	last    int64 // number of the last event, 0: none
	ended   bool  // the last event is terminal
	changed chan struct{}
}

func newHub(durable int64) *hub {
	return &hub{durable: durable, last: durable, changed: make(chan struct{})}
}

// append adds the next event and wakes the readers.
func (h *hub) append(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(event)
}

// end adds the terminal event, whose turn's status is durable: it is never
// pending, since it is made from that status and not kept in the journal.
func (h *hub) end(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.durable, h.ended = event.Number, true
	h.add(event)
}

func (h *hub) add(event Event) {
	h.events = append(h.events, event)
	h.bytes += len(event.JSON)
	h.last = event.Number
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hub) lastNumber() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *hub) durableNumber() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.durable
}

// pending returns the events that are not durable yet.
func (h *hub) pending() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := len(h.events)
	for i > 0 && h.events[i-1].Number > h.durable {
		i--
	}
	// Clipped, so that a later append does not write into what is being
	// encoded.
	return h.events[i:len(h.events):len(h.events)]
}

// persisted says that the events up to number are durable, and forgets the
// oldest of them.
func (h *hub) persisted(number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.durable = max(h.durable, number)
	drop := 0
	for drop < len(h.events) && h.bytes > keepBytes && h.events[drop].Number <= h.durable {
		h.bytes -= len(h.events[drop].JSON)
		drop++
	}
	if drop > 0 {
		h.events = append([]Event(nil), h.events[drop:]...)
	}
}

// after returns the events after a number as far as they are in memory. older
// says that some of those are in the journal only. When there are none,
// changed is closed once there are, unless ended.
func (h *hub) after(number int64) (events []Event, older, ended bool, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last <= number {
		return nil, false, h.ended, h.changed
	}
	if len(h.events) == 0 || (h.events[0].Number > number+1 && h.firstMissing(number)) {
		return nil, true, false, h.changed
	}
	i := len(h.events)
	for i > 0 && h.events[i-1].Number > number {
		i--
	}
	return h.events[i:len(h.events):len(h.events)], false, h.ended, h.changed
}

// terminal returns the last event if it is terminal.
func (h *hub) terminal() (last Event, ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		return Event{}, false
	}
	return h.events[len(h.events)-1], true
}

// firstMissing reports whether the journal has events between number and the
// oldest one in memory. Across a Resumed gap the numbers alone do not tell.
func (h *hub) firstMissing(number int64) bool {
	return h.events[0].Number <= h.durable || number < h.durable
}
