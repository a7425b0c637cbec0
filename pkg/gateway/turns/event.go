// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"encoding/json"
	"fmt"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
)

// Event is an event as readers are sent it.
type Event = events.Event

func encodeEvent(event *tightbeamv1.TurnEvent) Event {
	data, err := json.Marshal(event)
	if err != nil {
		// Only a RawExtension that is no JSON could do this, and those come
		// from chunks whose tool inputs were checked.
		panic(fmt.Sprintf("event %d of type %s does not encode: %v", event.Number, event.Type, err))
	}
	return Event{Number: event.Number, Last: event.Type.Terminal(), JSON: data}
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
