// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
)

// Event is an event as readers are sent it: encoded once, shared by all.
type Event struct {
	Number int64
	Type   tightbeamv1.TurnEventType
	// JSON is the event on one line, without the line's end.
	JSON []byte
}

func encodeEvent(event *tightbeamv1.TurnEvent) Event {
	data, err := json.Marshal(event)
	if err != nil {
		// Only a RawExtension that is no JSON could do this, and those come
		// from chunks whose tool inputs were checked.
		panic(fmt.Sprintf("event %d of type %s does not encode: %v", event.Number, event.Type, err))
	}
	return Event{Number: event.Number, Type: event.Type, JSON: data}
}

// batchBytes bounds a record of the journal, and appendBytes what is handed
// over to it at once; an engine takes a few MiB.
const (
	batchBytes  = 256 << 10
	appendBytes = 1 << 20
)

// A batch of events is one record of the journal: their lines, numbered by the
// last of them. So the record that has event n is the first one numbered n or
// higher.
func batchRecords(owner journal.Owner, events []Event) []journal.Record {
	var records []journal.Record
	for len(events) > 0 {
		n, size := 0, 0
		for n < len(events) && (n == 0 || size+len(events[n].JSON) < batchBytes) {
			size += len(events[n].JSON) + 1
			n++
		}
		data := make([]byte, 0, size)
		for _, event := range events[:n] {
			data = append(append(data, event.JSON...), '\n')
		}
		records = append(records, journal.Record{Owner: owner, Number: events[n-1].Number, Data: data})
		events = events[n:]
	}
	return records
}

// appends cuts records into what is handed over at once.
func appends(records []journal.Record) iter.Seq[[]journal.Record] {
	return func(yield func([]journal.Record) bool) {
		for len(records) > 0 {
			n, size := 0, 0
			for n < len(records) && (n == 0 || size+len(records[n].Data) <= appendBytes) {
				size += len(records[n].Data)
				n++
			}
			if !yield(records[:n:n]) {
				return
			}
			records = records[n:]
		}
	}
}

// batchEvents returns the events of a record with Number > after.
func batchEvents(record journal.Record, after int64) ([]Event, error) {
	var events []Event
	for line := range bytes.Lines(record.Data) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var head struct {
			Number int64                     `json:"number"`
			Type   tightbeamv1.TurnEventType `json:"type"`
		}
		if err := json.Unmarshal(line, &head); err != nil {
			return nil, fmt.Errorf("record %d of %s holds a line that is no event: %w", record.Number, record.Owner, err)
		}
		if head.Number > after {
			events = append(events, Event{Number: head.Number, Type: head.Type, JSON: line})
		}
	}
	return events, nil
}

func decodeEvent(event Event) (*tightbeamv1.TurnEvent, error) {
	out := &tightbeamv1.TurnEvent{}
	if err := json.Unmarshal(event.JSON, out); err != nil {
		return nil, fmt.Errorf("event %d: %w", event.Number, err)
	}
	return out, nil
}

// terminalEvent is the last event of a turn, a function of its terminal status.
func terminalEvent(turn *tightbeamv1.Turn) Event {
	status := &turn.Status
	event := &tightbeamv1.TurnEvent{Number: status.LastEvent}
	if status.CompletionTime != nil {
		event.Time = *status.CompletionTime
	}
	switch status.Phase {
	case tightbeamv1.TurnSucceeded:
		event.Type, event.StopReason, event.Message, event.Usage = tightbeamv1.TurnEventCompleted, status.StopReason, status.Message, status.Usage
	case tightbeamv1.TurnCancelled:
		event.Type = tightbeamv1.TurnEventCancelled
		if condition := endCondition(turn); condition != nil {
			event.Reason = condition.Message
		}
	default:
		event.Type, event.Error = tightbeamv1.TurnEventFailed, status.Error
	}
	return encodeEvent(event)
}
