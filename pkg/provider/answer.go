// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"strings"
	"unicode/utf8"
)

// Answer puts an answer together while it streams: it emits the events, keeps
// the indexes without gaps, and holds what the Result will say. All text that
// leaves it is valid UTF-8, whatever the provider sent, since a gRPC message
// carries nothing else. All that it holds, native blocks included, is counted
// and bounded. It belongs to one goroutine.
type Answer struct {
	provider, model string
	emit            Emit
	blocks          int
	entries         []*Open
	usage           Usage
	size            int
}

// maxAnswer bounds what one answer may hold in memory: more than any model
// says, and less than a gRPC message carries.
const maxAnswer = 48 << 20

// entrySize is what a block without any text weighs.
const entrySize = 64

// NewAnswer begins an answer. Provider and model are written into its native
// blocks.
func NewAnswer(provider, model string, emit Emit) *Answer {
	return &Answer{provider: provider, model: model, emit: emit}
}

// Open is a block of an answer, or (without a kind) a place that holds a native
// block alone.
type Open struct {
	a       *Answer
	index   int
	kind    BlockKind
	text    strings.Builder
	rest    string // the beginning of a letter whose end has not come yet
	call    ToolCall
	native  func() []byte
	stopped bool
}

// Start opens a text or thinking block.
func (a *Answer) Start(kind BlockKind) (*Open, error) {
	return a.open(&Open{kind: kind})
}

// StartTool opens a tool call.
func (a *Answer) StartTool(id, name string) (*Open, error) {
	if err := a.Hold(len(id) + len(name)); err != nil {
		return nil, err
	}
	return a.open(&Open{kind: KindToolUse, call: ToolCall{ID: valid(id), Name: valid(name)}})
}

func (a *Answer) open(o *Open) (*Open, error) {
	if err := a.Hold(entrySize); err != nil {
		return nil, err
	}
	o.a, o.index = a, a.blocks
	a.blocks++
	a.entries = append(a.entries, o)
	return o, a.emit(Event{Start: &BlockStart{Index: o.index, Kind: o.kind, ToolID: o.call.ID, ToolName: o.call.Name}})
}

// Place keeps a place for a native block of its own. It emits nothing.
func (a *Answer) Place() (*Open, error) {
	if err := a.Hold(entrySize); err != nil {
		return nil, err
	}
	o := &Open{a: a, stopped: true}
	a.entries = append(a.entries, o)
	return o, nil
}

// Hold counts n bytes that are kept for the answer.
func (a *Answer) Hold(n int) error {
	if a.size += n; a.size > maxAnswer {
		return Errorf(Internal, "the answer is above %d MiB", maxAnswer>>20)
	}
	return nil
}

// Usage reports new counts, if they are new.
func (a *Answer) Usage(u Usage) error {
	if u == a.usage {
		return nil
	}
	a.usage = u
	return a.emit(Event{Usage: &u})
}

// Write adds a piece to the block. An empty piece is no event. A letter whose
// bytes came in two pieces is whole in the second.
func (o *Open) Write(piece string) error {
	if piece == "" || o.stopped {
		return nil
	}
	if err := o.a.Hold(len(piece)); err != nil {
		return err
	}
	piece, o.rest = whole(o.rest + piece)
	return o.say(piece)
}

func (o *Open) say(piece string) error {
	if piece == "" {
		return nil
	}
	o.text.WriteString(piece)
	return o.a.emit(Event{Delta: &BlockDelta{Index: o.index, Kind: o.kind, Text: piece}})
}

// whole cuts off a letter that s ends in the middle of.
func whole(s string) (letters, rest string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	for i := len(s) - 1; i >= max(len(s)-utf8.UTFMax+1, 0); i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRuneInString(s[i:]) {
				s, rest = s[:i], s[i:]
			}
			break
		}
	}
	return valid(s), rest
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Len is how much the block holds.
func (o *Open) Len() int { return o.text.Len() }

// Text is what the block holds.
func (o *Open) Text() string { return o.text.String() }

// Kind is the block's kind.
func (o *Open) Kind() BlockKind { return o.kind }

// SetNative keeps the block's own form right behind it.
func (o *Open) SetNative(data []byte) error {
	o.native = func() []byte { return data }
	return o.a.Hold(len(data))
}

// SetNativeLater does that with what native returns once the answer is
// complete; what that is made of has been counted.
func (o *Open) SetNativeLater(native func() []byte) { o.native = native }

// Stop closes the block; again is nothing.
func (o *Open) Stop() error {
	if o.stopped {
		return nil
	}
	o.stopped = true
	if o.rest != "" {
		if err := o.say(valid(o.rest)); err != nil {
			return err
		}
	}
	return o.a.emit(Event{Stop: &BlockStop{Index: o.index}})
}

// Finish closes what is open and returns the answer.
func (a *Answer) Finish(reason StopReason, raw, requestID string) (*Result, error) {
	res := &Result{StopReason: reason, RawStopReason: clip(valid(raw)), RequestID: clip(valid(requestID)), Usage: a.usage}
	for _, o := range a.entries {
		if err := o.Stop(); err != nil {
			return nil, err
		}
		text := o.text.String()
		switch {
		case o.kind == KindToolUse:
			call := o.call
			if call.Input = text; IsBlank(text) || strings.TrimSpace(text) == "null" {
				call.Input = "{}"
			}
			res.ToolCalls = append(res.ToolCalls, call)
		case o.kind != "" && text != "":
			res.Content = append(res.Content, Block{Kind: o.kind, Text: text})
		}
		if o.native == nil {
			continue
		}
		if data := o.native(); data != nil {
			res.Content = append(res.Content, Block{Kind: KindNative,
				Native: &Native{Provider: a.provider, Model: a.model, Data: data}})
		}
	}
	return res, nil
}
