// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TurnEventType says what happened.
type TurnEventType string

const (
	// TurnEventStarted: an attempt began. Sets attempt and model.
	TurnEventStarted TurnEventType = "Started"
	// TurnEventBlockStarted: a block of the answer began. Sets index and
	// kind, for a tool_use block also toolCallID and toolName.
	TurnEventBlockStarted TurnEventType = "BlockStarted"
	// TurnEventBlockDelta: a block grew. Sets index and one of text, json,
	// thinking.
	TurnEventBlockDelta TurnEventType = "BlockDelta"
	// TurnEventBlockStopped: a block is whole. Sets index.
	TurnEventBlockStopped TurnEventType = "BlockStopped"
	// TurnEventUsage: the provider counted tokens. Sets usage.
	TurnEventUsage TurnEventType = "Usage"
	// TurnEventAttemptFailed: an attempt failed. Sets attempt, error and
	// willRetry.
	TurnEventAttemptFailed TurnEventType = "AttemptFailed"
	// TurnEventResumed: after a crash the numbers lostFrom to lostTo were
	// given up; what they named could not be had again.
	TurnEventResumed TurnEventType = "Resumed"
	// TurnEventCompleted is terminal. Sets stopReason, message and usage.
	TurnEventCompleted TurnEventType = "Completed"
	// TurnEventFailed is terminal. Sets error.
	TurnEventFailed TurnEventType = "Failed"
	// TurnEventCancelled is terminal. Sets reason.
	TurnEventCancelled TurnEventType = "Cancelled"
)

// Terminal reports whether it is the last event of its turn.
func (t TurnEventType) Terminal() bool {
	return t == TurnEventCompleted || t == TurnEventFailed || t == TurnEventCancelled
}

// BlockKind says what a block of an answer holds.
type BlockKind string

const (
	BlockText     BlockKind = "text"
	BlockThinking BlockKind = "thinking"
	BlockToolUse  BlockKind = "tool_use"
)

// TurnEvent is one line of turns/stream and turns/log. It is no API object.
//
// +k8s:deepcopy-gen=false
// +k8s:openapi-gen=false
type TurnEvent struct {
	// Number counts the events of a turn from 1. No number ever names two
	// different events.
	Number int64 `json:"number"`
	// Time is when the server received what the event tells.
	Time metav1.MicroTime `json:"time"`
	// Type says which of the fields below are set.
	Type TurnEventType `json:"type"`

	Attempt int32  `json:"attempt,omitempty"`
	Model   string `json:"model,omitempty"`

	Index      *int32    `json:"index,omitempty"`
	Kind       BlockKind `json:"kind,omitempty"`
	ToolCallID string    `json:"toolCallID,omitempty"`
	ToolName   string    `json:"toolName,omitempty"`
	Text       string    `json:"text,omitempty"`
	JSON       string    `json:"json,omitempty"`
	Thinking   string    `json:"thinking,omitempty"`

	Usage *Usage `json:"usage,omitempty"`

	Error     *TurnError `json:"error,omitempty"`
	WillRetry *bool      `json:"willRetry,omitempty"`
	Reason    string     `json:"reason,omitempty"`

	LostFrom int64 `json:"lostFrom,omitempty"`
	LostTo   int64 `json:"lostTo,omitempty"`

	StopReason StopReason `json:"stopReason,omitempty"`
	// Message is the whole answer of a Completed turn.
	Message *Message `json:"message,omitempty"`
}
