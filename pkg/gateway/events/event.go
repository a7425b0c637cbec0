// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"safebeam.dev/safebeam/pkg/journal"
)

// Event is an event as readers are sent it: encoded once, shared by all.
type Event struct {
	Number int64
	// Last says that the event is terminal.
	Last bool
	// JSON is the event on one line, without the line's end. It has the number
	// as its field number.
	JSON []byte
}

// batchBytes bounds a record of the journal, and appendBytes what is handed
// over to it at once; an engine takes a few MiB.
const (
	batchBytes  = 256 << 10
	appendBytes = 1 << 20
)

// Records puts events into records: a batch of events is one record of the
// journal, their lines, numbered by the last of them. So the record that has
// event n is the first one numbered n or higher.
func Records(owner journal.Owner, events []Event) []journal.Record {
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

// Appends cuts records into what is handed over to the journal at once.
func Appends(records []journal.Record) iter.Seq[[]journal.Record] {
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

// Decode returns the events of a record with Number > after.
func Decode(record journal.Record, after int64) ([]Event, error) {
	var events []Event
	for line := range bytes.Lines(record.Data) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var head struct {
			Number int64 `json:"number"`
		}
		if err := json.Unmarshal(line, &head); err != nil {
			return nil, fmt.Errorf("record %d of %s holds a line that is no event: %w", record.Number, record.Owner, err)
		}
		if head.Number > after {
			events = append(events, Event{Number: head.Number, JSON: line})
		}
	}
	return events, nil
}
