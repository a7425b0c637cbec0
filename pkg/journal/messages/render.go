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
	return RenderWith(log, nil, maxMessages)
}

// RenderWith is Render of a log with more messages at its end. A long log of
// which little is sent is looked at and not copied.
func RenderWith(log, more []tightbeamv1.LogEntry, maxMessages int) []tightbeamv1.LogEntry {
	rolledBack := map[string]bool{}
	agents := map[string]bool{}
	for _, part := range [][]tightbeamv1.LogEntry{log, more} {
		for i := range part {
			if part[i].Role == tightbeamv1.RoleRollback {
				rolledBack[part[i].TurnUID] = true
			}
			if part[i].Agent != "" {
				agents[part[i].Agent] = true
			}
		}
	}
	entry := func(i int) *tightbeamv1.LogEntry {
		if i < len(log) {
			return &log[i]
		}
		return &more[i-len(log)]
	}
	sent := func(e *tightbeamv1.LogEntry) bool {
		return !e.Partial && e.Role != tightbeamv1.RoleRollback && !rolledBack[e.TurnUID]
	}
	begin, all := window(len(log)+len(more), maxMessages, entry, sent)
	history := make([]tightbeamv1.LogEntry, 0, all)
	for i := begin; i < len(log)+len(more); i++ {
		if e := entry(i); sent(e) {
			history = append(history, *e)
		}
	}
	if len(agents) >= 2 {
		for i := range history {
			prefixAgent(&history[i])
		}
	}
	return history
}

// window returns where the history that is sent begins, and how long it is. It
// begins at a message of the user, so that no tool result comes without its
// call and no provider is sent an answer to nothing. If none is among the
// newest maxMessages, it begins at the one before them.
func window(n, maxMessages int, entry func(int) *tightbeamv1.LogEntry, sent func(*tightbeamv1.LogEntry) bool) (begin, length int) {
	user, userLength := -1, 0 // the oldest message of the user in the window
	for i := n - 1; i >= 0; i-- {
		e := entry(i)
		if !sent(e) {
			continue
		}
		if maxMessages > 0 && length >= maxMessages && user >= 0 {
			return user, userLength
		}
		begin = i
		length++
		if e.Role == tightbeamv1.RoleUser {
			user, userLength = i, length
		}
	}
	// All of it: short enough, or without an earlier place to begin.
	return begin, length
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
