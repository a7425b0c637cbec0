// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

// Event is one step of a streamed answer. Exactly one of its fields is set.
type Event struct {
	Start *BlockStart
	Delta *BlockDelta
	Stop  *BlockStop
	Usage *Usage
}

// BlockStart opens the block of that index. Indexes count up from 0 in the
// order of the starts, without gaps.
type BlockStart struct {
	Index int
	Kind  BlockKind
	// ToolID and ToolName belong to KindToolUse.
	ToolID   string
	ToolName string
}

// BlockDelta is a piece of an open block: text, thinking, or a part of a tool
// call's JSON, as the block's kind says. Pieces are valid UTF-8 each, and
// blocks that are open at the same time may take turns.
type BlockDelta struct {
	Index int
	Kind  BlockKind
	Text  string
}

// BlockStop closes a block.
type BlockStop struct {
	Index int
}

// Usage counts tokens. The counts of one attempt grow; the last ones hold.
type Usage struct {
	// InputTokens are without those the cache served or stored.
	InputTokens int64
	// OutputTokens are with thinking.
	OutputTokens     int64
	CacheReadTokens  int64
	CacheWriteTokens int64
	// ThinkingTokens are a part of OutputTokens, where the provider tells.
	ThinkingTokens int64
}

// Result is a complete answer.
type Result struct {
	StopReason StopReason
	// RawStopReason is the provider's own word.
	RawStopReason string
	// Content is the whole message, native blocks included.
	Content   []Block
	ToolCalls []ToolCall
	Usage     Usage
	// RequestID is what the provider's support asks for.
	RequestID string
}

// Message is the result as the assistant's message that it becomes.
func (r *Result) Message() Message {
	return Message{Role: RoleAssistant, Content: r.Content, ToolCalls: r.ToolCalls}
}

// StopReason says why a model stopped, in words common to all providers.
type StopReason string

const (
	StopEndTurn         StopReason = "EndTurn"
	StopToolUse         StopReason = "ToolUse"
	StopMaxTokens       StopReason = "MaxTokens"
	StopSequence        StopReason = "StopSequence"
	StopRefusal         StopReason = "Refusal"
	StopContextExceeded StopReason = "ContextExceeded"
	StopPaused          StopReason = "Paused"
	StopContentFilter   StopReason = "ContentFilter"
	// StopOther is a reason that none of the others names; never assumed to
	// be a good end.
	StopOther StopReason = "Other"
)
