// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Reply is the answer to one request. The zero value answers with nothing and
// stops well.
type Reply struct {
	// Raw answers with these bytes and no protocol at all.
	Raw *Raw
	// Error answers with an HTTP error in the protocol's own form.
	Error *Error

	Blocks []Block
	// Stop is why the answer ends; empty means the tools if there are any,
	// and else a good end.
	Stop Stop
	// RawStop replaces the protocol's word for Stop.
	RawStop string
	Usage   Usage
	// Header is added to the response.
	Header http.Header

	// Interleave sends the pieces of the blocks in turns, where the protocol
	// can say that.
	Interleave bool
	// UnknownEvents strews events and fields from the future.
	UnknownEvents bool
	// CRLF ends lines with it; Gemini always does.
	CRLF bool
	// Split writes at most so many bytes at a time, through lines and letters.
	Split int
	// Pace waits before every delta.
	Pace time.Duration
	// Accent is one of the dialects of the protocol.
	Accent Accent

	// Cut ends the stream early.
	Cut *Cut
	// Stall stops sending before that frame, and leaves the connection open
	// until the client goes.
	Stall *int
	// StallAfter and BreakAfter send everything, and then leave the connection
	// open, or break it.
	StallAfter, BreakAfter bool
	// InBand sends an error in the stream.
	InBand *InBand
	// KeepAlive sends so many comments or pings before the first frame, Pace
	// apart.
	KeepAlive int
	// Gate is received from before every delta.
	Gate <-chan struct{}
}

// Raw is an answer outside of any protocol: a proxy's page, for example.
type Raw struct {
	Status      int
	ContentType string
	Header      http.Header
	Body        string
}

// Error is an HTTP error in the protocol's form.
type Error struct {
	Status int
	// Type is the protocol's name for it: overloaded_error, insufficient_quota,
	// RESOURCE_EXHAUSTED, …
	Type       string
	Message    string
	RetryAfter string
	// List puts the error into a list, as Google's streaming methods and its
	// endpoint for OpenAI's clients do.
	List bool
	// Quota and Reason are Google's details: the quotaId that was violated,
	// and the ErrorInfo's reason.
	Quota, Reason string
}

// Kind of a block.
type Kind string

const (
	Text     Kind = "text"
	Thinking Kind = "thinking"
	// Redacted is Anthropic's redacted_thinking; other protocols leave it out.
	Redacted Kind = "redacted"
	Tool     Kind = "tool"
	// Refusal is OpenAI's refusal part; text elsewhere.
	Refusal Kind = "refusal"
	// ServerTool is a block that the provider made by itself, such as a search,
	// and that our model of messages knows nothing of.
	ServerTool Kind = "server"
)

// Block is a piece of the answer.
type Block struct {
	Kind Kind
	// Deltas are its pieces: text, or pieces of a tool's JSON.
	Deltas []string
	// Signature goes with it, for thinking everywhere and for any block with
	// Gemini. The server demands it back.
	Signature string
	// ID and Name are a tool's.
	ID   string
	Name string
}

func (b Block) all() string { return strings.Join(b.Deltas, "") }

// Stop is why an answer ends.
type Stop string

const (
	EndTurn       Stop = "end"
	ToolUse       Stop = "tools"
	MaxTokens     Stop = "max"
	StopSequence  Stop = "sequence"
	Refused       Stop = "refusal"
	ContentFilter Stop = "filter"
	Context       Stop = "context"
	Pause         Stop = "pause"
	// Blocked is Gemini's refusal of a prompt: no candidate at all.
	Blocked Stop = "blocked"
)

// Usage in common terms: Input is without the cache, Output with thinking.
type Usage struct {
	Input, Output, CacheRead, CacheWrite, Thinking int64
}

// Accent is how a server differs from the one whose protocol it speaks. Where
// nothing else is said it is one of Chat Completions.
type Accent string

const (
	// AccentOllama sends whole calls, all with index 0, and stops with "stop".
	AccentOllama Accent = "ollama"
	// AccentNoIndex sends calls without an index.
	AccentNoIndex Accent = "no-index"
	// AccentMinusOne sends every call with index -1, pieces without an id.
	AccentMinusOne Accent = "minus-one"
	// AccentRepeatID repeats id and name in every piece.
	AccentRepeatID Accent = "repeat-id"
	// AccentNoID sends no ids.
	AccentNoID Accent = "no-id"
	// AccentObject sends arguments as an object.
	AccentObject Accent = "object"
	// AccentReasoning names the thinking "reasoning" (vLLM, Ollama), not
	// "reasoning_content" (DeepSeek).
	AccentReasoning Accent = "reasoning"
	// AccentWhole does not stream.
	AccentWhole Accent = "whole"
	// AccentNoDone leaves [DONE] out.
	AccentNoDone Accent = "no-done"
	// AccentParts sends content as a list of parts, thinking among them.
	AccentParts Accent = "parts"
	// AccentStart is that of servers that speak like Anthropic: a tool's whole
	// input at the start of its block.
	AccentStart Accent = "start"
	// AccentFinish is Gemini's: a finish reason with every chunk.
	AccentFinish Accent = "finish"
)

// How a stream is cut.
type How int

const (
	// Clean ends the response as if it were complete.
	Clean How = iota
	// Abort closes the connection in the middle of the response.
	Abort
	// Reset does that with a TCP reset.
	Reset
)

// Cut ends the stream before frame number At, counted from 0; negative numbers
// count from the end, so that -1 leaves only the last frame out.
type Cut struct {
	At  int
	How How
}

// InBand is an error in the stream, in place of frame number At and all that
// follow.
type InBand struct {
	At      int
	Type    string
	Message string
	// Code is Gemini's and OpenRouter's HTTP status.
	Code int
	// Failed makes it a response.failed of the Responses protocol, not an
	// event "error".
	Failed bool
	// Nested puts the error of the Responses protocol's event into a field
	// "error", as the service does where its documentation has it flat.
	Nested bool
	// Usage goes with a response.failed.
	Usage Usage
}

// Say is a reply of one text block.
func Say(deltas ...string) Reply { return Reply{Blocks: []Block{{Kind: Text, Deltas: deltas}}} }

// At is for Reply.Stall.
func At(frame int) *int { return &frame }

// Paced is a reply of so many deltas of so many bytes each.
func Paced(deltas, size int, pace time.Duration) Reply {
	b := Block{Kind: Text, Deltas: make([]string, deltas)}
	for i := range b.Deltas {
		s := fmt.Sprintf("%d ", i)
		if len(s) > size {
			s = s[len(s)-size:]
		}
		b.Deltas[i] = strings.Repeat(".", size-len(s)) + s
	}
	return Reply{Blocks: []Block{b}, Pace: pace, Usage: Usage{Input: 10, Output: int64(deltas)}}
}

// ParsePace reads a model name paced-DELTASxBYTES@PERSECOND. Zero a second
// means without delay.
func ParsePace(model string) (Reply, bool) {
	var deltas, size int
	var rate float64
	if n, err := fmt.Sscanf(model, "paced-%dx%d@%g", &deltas, &size, &rate); n != 3 || err != nil || deltas < 1 || size < 1 || rate < 0 {
		return Reply{}, false
	}
	var pace time.Duration
	if rate > 0 {
		pace = time.Duration(float64(time.Second) / rate)
	}
	return Paced(deltas, size, pace), true
}

func (r *Reply) stop() Stop {
	if r.Stop != "" {
		return r.Stop
	}
	for _, b := range r.Blocks {
		if b.Kind == Tool {
			return ToolUse
		}
	}
	return EndTurn
}
