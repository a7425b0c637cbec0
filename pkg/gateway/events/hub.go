// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"sync"
)

// KeepBytes is how much of a source's durable events stays in memory for readers
// that are a little behind: a second or so of text, beyond the events that no flush
// has come to yet, and times as many sources as there are. Whoever is further behind
// reads the journal.
const KeepBytes = 4 << 10

// Hub has the newest events of one unfinished source: all that are not durable
// yet, and some that are.
//
//	first            durable         next
//	  │ ── readable here ── │ ── pending ── │
//	──┴─────────────────────┴───────────────┴──▶ number
//	older: in the journal
type Hub struct {
	mu      sync.Mutex
	events  []Event
	bytes   int
	durable int64         // number of the last durable event
	last    int64         // number of the last event, 0: none
	ended   bool          // the last event is terminal
	changed chan struct{} // nil while nobody waits
}

// NewHub returns the hub of a source whose events up to durable are in the journal.
func NewHub(durable int64) *Hub {
	return &Hub{durable: durable, last: durable}
}

// Append adds the next event and wakes the readers.
func (h *Hub) Append(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(event)
}

// End adds the terminal event, once what ended the source is durable: it is
// never pending, since it is made from that and not kept in the journal.
func (h *Hub) End(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.durable, h.ended = event.Number, true
	h.add(event)
}

func (h *Hub) add(event Event) {
	h.events = append(h.events, event)
	h.bytes += len(event.JSON)
	h.last = event.Number
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// change is what is closed at the next event. Call with mu held.
func (h *Hub) change() <-chan struct{} {
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed
}

// Last is the number of the newest event.
func (h *Hub) Last() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Durable is the number of the last durable event.
func (h *Hub) Durable() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.durable
}

// Pending returns the events that are not durable yet.
func (h *Hub) Pending() []Event {
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

// Persisted says that the events up to number are durable, and forgets the
// oldest of them.
func (h *Hub) Persisted(number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.durable = max(h.durable, number)
	// The terminal event is nowhere else, however large it is.
	most := len(h.events)
	if h.ended {
		most--
	}
	drop := 0
	// Down to half of it, so that it is seldom: what stays is copied.
	for trim := h.bytes > KeepBytes; trim && drop < most && h.bytes > KeepBytes/2 && h.events[drop].Number <= h.durable; {
		h.bytes -= len(h.events[drop].JSON)
		drop++
	}
	if kept := h.events[drop:]; drop > 0 {
		// Not in place: readers hold slices. As many again fit before the next time.
		h.events = append(make([]Event, 0, len(kept)+drop), kept...)
	}
}

// After returns the events after a number as far as they are in memory. older
// says that some of those are in the journal only. When there are none,
// changed is closed once there are, unless ended.
func (h *Hub) After(number int64) (events []Event, older, ended bool, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last <= number {
		return nil, false, h.ended, h.change()
	}
	if len(h.events) == 0 || (h.events[0].Number > number+1 && h.firstMissing(number)) {
		return nil, true, false, h.change()
	}
	i := len(h.events)
	for i > 0 && h.events[i-1].Number > number {
		i--
	}
	return h.events[i:len(h.events):len(h.events)], false, h.ended, nil
}

// Terminal returns the last event if it is terminal.
func (h *Hub) Terminal() (last Event, ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		return Event{}, false
	}
	return h.events[len(h.events)-1], true
}

// firstMissing reports whether the journal has events between number and the
// oldest one in memory. Across a Resumed gap the numbers alone do not tell.
func (h *Hub) firstMissing(number int64) bool {
	return h.events[0].Number <= h.durable || number < h.durable
}
