// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LogView chooses what conversations/log shows.
type LogView string

const (
	// LogViewRaw shows every entry: also the partial texts of turns that
	// failed or were cancelled, and the marks of rolled-back turns.
	LogViewRaw LogView = "raw"
	// LogViewProvider shows the history as a provider would be sent it now.
	LogViewProvider LogView = "provider"
	// LogViewRouter shows the answers of the agent router.
	LogViewRouter LogView = "router"
)

// LogEntry is one line of conversations/log: a message in the field names of
// the seed's NDJSON log. It is no API object.
//
// +k8s:deepcopy-gen=false
// +k8s:openapi-gen=false
type LogEntry struct {
	// Time is when the message entered the log.
	Time metav1.MicroTime `json:"ts"`
	// Index counts the messages of a conversation from 1.
	Index int64 `json:"index"`
	// Turn is the name of the turn the message belongs to.
	Turn string `json:"turn,omitempty"`
	// TurnUID tells turns of the same name apart.
	TurnUID string `json:"turn_uid,omitempty"`
	// Role is the message's, or "rollback", which marks that the messages of
	// the turn named by Turn left the history that providers are sent.
	Role       Role           `json:"role"`
	Content    []ContentBlock `json:"content,omitempty"`
	ToolCalls  []ToolCall     `json:"tool_calls,omitempty"`
	ToolCallID string         `json:"tool_call_id,omitempty"`
	IsError    bool           `json:"is_error,omitempty"`
	Agent      string         `json:"agent,omitempty"`
	// Model is the TightbeamModel that an assistant message came from.
	Model string `json:"model,omitempty"`
	// SystemSHA256 is the hash of the system prompt an assistant message was
	// made under.
	SystemSHA256 string `json:"system_sha256,omitempty"`
	// Partial marks what was received of an answer that never became whole.
	Partial bool `json:"partial,omitempty"`
}

// RoleRollback marks a log entry that takes a turn's messages out of the
// history that providers are sent.
const RoleRollback Role = "rollback"
