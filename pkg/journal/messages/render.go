// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Render returns the history that a provider is sent: what log holds, without
// partial answers and rolled-back turns, at most maxMessages of it (0: all),
// with assistant messages prefixed by their agent once two agents have spoken.
// The log is not changed, messages that need no change are shared with it.
func Render(log []tightbeamv1.LogEntry, maxMessages int) []tightbeamv1.LogEntry {
	rolledBack := map[string]bool{}
	agents := map[string]bool{}
	for i := range log {
		if log[i].Role == tightbeamv1.RoleRollback {
			rolledBack[log[i].TurnUID] = true
		}
		if log[i].Agent != "" {
			agents[log[i].Agent] = true
		}
	}
	history := make([]tightbeamv1.LogEntry, 0, len(log))
	for i := range log {
		entry := &log[i]
		if entry.Partial || entry.Role == tightbeamv1.RoleRollback || rolledBack[entry.TurnUID] {
			continue
		}
		history = append(history, *entry)
	}
	history = history[window(history, maxMessages):]
	if len(agents) >= 2 {
		for i := range history {
			prefixAgent(&history[i])
		}
	}
	return history
}

// window returns where the history that is sent begins: at a message of the
// user, so that no tool result comes without its call and no provider is sent
// an answer to nothing. If none is among the newest, it begins at the one
// before them.
func window(history []tightbeamv1.LogEntry, maxMessages int) int {
	if maxMessages <= 0 || len(history) <= maxMessages {
		return 0
	}
	start := len(history) - maxMessages
	for i := start; i < len(history); i++ {
		if history[i].Role == tightbeamv1.RoleUser {
			return i
		}
	}
	for i := start - 1; i > 0; i-- {
		if history[i].Role == tightbeamv1.RoleUser {
			return i
		}
	}
	return 0
}

// prefixAgent says who spoke, as the seed does: in assistant messages that
// carry an agent and begin with text.
func prefixAgent(entry *tightbeamv1.LogEntry) {
	if entry.Role != tightbeamv1.RoleAssistant || entry.Agent == "" || len(entry.Content) == 0 || entry.Content[0].Text == nil {
		return
	}
	text := "[" + entry.Agent + "]: " + *entry.Content[0].Text
	content := append([]tightbeamv1.ContentBlock(nil), entry.Content...)
	content[0] = tightbeamv1.ContentBlock{Text: &text}
	entry.Content = content
}

// OpenToolCalls returns the ids of the tool calls in a rendered history that
// no tool message answers yet, in order, and whether an id was ever called.
func OpenToolCalls(history []tightbeamv1.LogEntry) (open []string, called map[string]bool) {
	called = map[string]bool{}
	answered := map[string]bool{}
	for i := range history {
		for _, call := range history[i].ToolCalls {
			called[call.ID] = true
		}
		if history[i].ToolCallID != "" {
			answered[history[i].ToolCallID] = true
		}
	}
	for i := range history {
		for _, call := range history[i].ToolCalls {
			if !answered[call.ID] {
				open = append(open, call.ID)
			}
		}
	}
	return open, called
}
