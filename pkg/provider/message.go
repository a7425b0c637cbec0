// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

// Role says who speaks in a message.
type Role string

const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
	RoleSystem    Role = "system"
)

// Message is one message of a conversation, in no provider's form.
type Message struct {
	Role    Role
	Content []Block
	// ToolCalls are an assistant's; a native block in Content that stands for
	// one of them says where in the content it was.
	ToolCalls []ToolCall
	// ToolCallID is a tool message's: the call that it answers.
	ToolCallID string
	// IsError marks a tool message as a failure.
	IsError bool
}

// BlockKind says which field of a Block counts.
type BlockKind string

const (
	KindText     BlockKind = "text"
	KindImage    BlockKind = "image"
	KindThinking BlockKind = "thinking"
	KindNative   BlockKind = "native"
	// KindToolUse is a kind of streamed block only: in a Message, tool calls
	// are apart from the content.
	KindToolUse BlockKind = "tool_use"
)

// Block is a piece of a message's content.
type Block struct {
	Kind BlockKind
	// Text is the text of KindText and KindThinking.
	Text   string
	Image  *Image
	Native *Native
}

// Image is a picture as raw bytes; the provider's encoding is made when it is
// rendered.
type Image struct {
	MediaType string
	Data      []byte
}

// Native is a block in a provider's own form. One that holds text or thinking
// covers the normalised block right before it; one that holds a tool call
// stands for the call of that id.
type Native struct {
	Provider string
	// Model is the model id that made it. It means nothing to another one.
	Model string
	Data  []byte
}

// ToolCall is a model's wish to have a tool run.
type ToolCall struct {
	ID   string
	Name string
	// Input is the text of a JSON object. A model may have been cut off in the
	// middle of it, so it need not be valid; empty means {}.
	Input string
}

// Text makes a text block.
func Text(s string) Block { return Block{Kind: KindText, Text: s} }
