// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// MintCallID names a tool call whose provider gave it no name. Some servers
// name every call of every answer alike, so that the name alone would not tell
// which result belongs to which call.
func MintCallID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return "call_" + hex.EncodeToString(b[:])
}

// MaxCallID is the longest id of a call that every provider takes: OpenAI's
// Chat Completions take no longer one.
const MaxCallID = 40

// CallIDs renames the calls of a history on its way to a provider that is
// stricter than the one that named them: to letters, digits, _ and -, to
// MaxCallID, and to a name that no call before it has. An id that is fit stays;
// the same history gives the same names. The history is one that Repair made.
func CallIDs(history []Message) []Message {
	out := make([]Message, len(history))
	used := map[string]bool{}
	names := map[string][]string{} // of the last assistant's calls that wait for a result
	for i, m := range history {
		out[i] = m
		switch {
		case m.Role == RoleTool:
			if waiting := names[m.ToolCallID]; len(waiting) > 0 {
				out[i].ToolCallID, names[m.ToolCallID] = waiting[0], waiting[1:]
			}
		case m.Role == RoleAssistant:
			names = map[string][]string{}
			out[i].ToolCalls = renamed(m.ToolCalls, names, used)
		}
	}
	return out
}

func renamed(calls []ToolCall, names map[string][]string, used map[string]bool) []ToolCall {
	var out []ToolCall
	for _, c := range calls {
		name := c.ID
		for n := 0; !fit(name) || used[name]; n++ {
			sum := sha256.Sum256([]byte(strconv.Itoa(n) + " " + c.ID))
			name = "call_" + hex.EncodeToString(sum[:12])
		}
		used[name] = true
		names[c.ID] = append(names[c.ID], name)
		c.ID = name
		out = append(out, c)
	}
	return out
}

func fit(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= MaxCallID
}
