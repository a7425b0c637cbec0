// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import "strings"

// noResult answers a call that never got its result: the turn that ran the
// tool was cancelled, or whoever ran it died.
const noResult = "The tool call was interrupted and has no result."

// silentFailure is the text of a failed call whose tool said nothing.
const silentFailure = "The tool call failed without a message."

// ToolResult is what a tool said, for a protocol that has a mark for failures.
func ToolResult(m Message) []Block {
	if m.IsError && IsBlank(PlainText(m.Content)) && !HasImage(m.Content) {
		return []Block{Text(silentFailure)}
	}
	return m.Content
}

// MarkedToolResult is that for a protocol that has none: the model has to read it.
func MarkedToolResult(m Message) []Block {
	content := ToolResult(m)
	if m.IsError && !strings.HasPrefix(strings.ToLower(PlainText(content)), "error") {
		content = append([]Block{Text("Error: ")}, content...)
	}
	return content
}

// IsBlank tells whether s says nothing.
func IsBlank(s string) bool { return strings.TrimSpace(s) == "" }

// Repair makes a history that every provider accepts, whatever happened to the
// turns that wrote it: each assistant message with tool calls is followed
// directly by one tool message a call, in call order. A call without a result
// gets an error for one; a result without its call (its message was cut off by
// the conversation's history limit) is left out, and so is the second result
// of one call. The messages themselves are not changed.
func Repair(history []Message) []Message {
	out := make([]Message, 0, len(history))
	for i, m := range history {
		if m.Role == RoleTool {
			continue // placed with its call
		}
		out = append(out, m)
		if m.Role != RoleAssistant {
			continue
		}
		results := resultsAfter(history[i+1:])
		for _, call := range m.ToolCalls {
			r, ok := results[call.ID]
			if !ok {
				r = Message{Role: RoleTool, ToolCallID: call.ID, IsError: true, Content: []Block{Text(noResult)}}
			}
			out = append(out, r)
		}
	}
	return out
}

// resultsAfter collects the tool messages up to the next assistant message.
func resultsAfter(rest []Message) map[string]Message {
	found := map[string]Message{}
	for _, m := range rest {
		if m.Role == RoleAssistant {
			break
		}
		if m.Role != RoleTool {
			continue
		}
		if _, dup := found[m.ToolCallID]; !dup {
			found[m.ToolCallID] = m
		}
	}
	return found
}

// Part is a piece of an assistant's message in the order in which it goes back
// to the provider. Exactly one field is set, but for a native part that stands
// for a call, which has both.
type Part struct {
	Block  *Block
	Call   *ToolCall
	Native []byte
}

// Cover says what a native block repeats of the normalised message.
type Cover struct {
	// Text is the visible text in it.
	Text string
	// CallID, or where the provider gives no ids CallName, is the tool call in
	// it.
	CallID   string
	CallName string
}

// Arrange merges an assistant's content, its native blocks and its tool calls
// into one order. Thinking is left out, since no provider takes it unsigned;
// native blocks of another provider or model are left out too. A native block
// takes the place of what it covers, unless that is no longer there (a text was
// edited): then it is the native block that is left out. Calls that no native
// block stands for come last.
func Arrange(m Message, provider, model string, cover func([]byte) (Cover, bool)) []Part {
	var parts []Part
	used := make([]bool, len(m.ToolCalls))
	for i := range m.Content {
		b := &m.Content[i]
		switch b.Kind {
		case KindText, KindImage:
			parts = append(parts, Part{Block: b})
		case KindNative:
			if b.Native == nil || b.Native.Provider != provider || b.Native.Model != model {
				continue
			}
			c, ok := cover(b.Native.Data)
			if !ok {
				continue
			}
			parts = place(parts, b.Native.Data, c, m.ToolCalls, used)
		}
	}
	for i := range m.ToolCalls {
		if !used[i] {
			parts = append(parts, Part{Call: &m.ToolCalls[i]})
		}
	}
	return parts
}

func place(parts []Part, data []byte, c Cover, calls []ToolCall, used []bool) []Part {
	switch {
	case c.CallID != "" || c.CallName != "":
		for i := range calls {
			same := calls[i].ID == c.CallID
			if c.CallID == "" {
				same = calls[i].Name == c.CallName
			}
			if same && !used[i] {
				used[i] = true
				return append(parts, Part{Native: data, Call: &calls[i]})
			}
		}
		return parts
	case c.Text != "":
		last := len(parts) - 1
		if last < 0 || parts[last].Block == nil || !strings.HasSuffix(parts[last].Block.Text, c.Text) {
			return parts
		}
		if head := strings.TrimSuffix(parts[last].Block.Text, c.Text); head != "" {
			b := Text(head)
			parts[last].Block = &b
		} else {
			parts = parts[:last]
		}
	}
	return append(parts, Part{Native: data})
}

// SplitSystem takes the system messages that lead a history to the system
// prompt. Those further down stay, for the provider to render in place: moving
// them would change the beginning of the prompt, and with it all that is
// cached.
func SplitSystem(system string, history []Message) (string, []Message) {
	texts := []string{}
	if system != "" {
		texts = append(texts, system)
	}
	for len(history) > 0 && history[0].Role == RoleSystem {
		if t := PlainText(history[0].Content); t != "" {
			texts = append(texts, t)
		}
		history = history[1:]
	}
	return strings.Join(texts, "\n\n"), history
}

// PlainText is the text of the text blocks.
func PlainText(content []Block) string {
	var sb strings.Builder
	for _, b := range content {
		if b.Kind == KindText {
			sb.WriteString(b.Text)
		}
	}
	return sb.String()
}

// HasImage tells whether content holds more than text.
func HasImage(content []Block) bool {
	for _, b := range content {
		if b.Kind == KindImage {
			return true
		}
	}
	return false
}
