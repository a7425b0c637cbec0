// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

// renderer shows the events of one turn as they come: the answer and its tool
// calls on out, what happened on the way on notes. The first error of writing
// is kept; a reader of the answer that has gone away ends the command.
type renderer struct {
	out, notes   io.Writer
	showThinking bool

	// shown is the answer's text as far as it was written.
	shown strings.Builder
	// thinking and tool are whether such a block is being shown.
	thinking, tool bool
	// fresh: out is at the beginning of a line.
	fresh bool
	// lost: events are missing, so shown is not the whole text.
	lost bool
	err  error
}

func newRenderer(out, notes io.Writer, showThinking bool) *renderer {
	return &renderer{out: out, notes: notes, showThinking: showThinking, fresh: true}
}

// TurnFailedError is the end of a turn that did not succeed.
type TurnFailedError struct {
	Name string
	// Phase is Failed or Cancelled.
	Phase  tightbeamv1.TurnPhase
	Reason string
}

func (e *TurnFailedError) Error() string {
	text := fmt.Sprintf("turn %q is %s", e.Name, e.Phase)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// event shows one event. The error is that of the turn, when it ended so, or
// of writing.
func (r *renderer) event(turn string, e tightbeamv1.TurnEvent) error {
	switch e.Type {
	case tightbeamv1.TurnEventBlockStarted:
		r.blockStarted(e)
	case tightbeamv1.TurnEventBlockDelta:
		r.blockDelta(e)
	case tightbeamv1.TurnEventBlockStopped:
		r.blockStopped()
	case tightbeamv1.TurnEventAttemptFailed:
		r.endLine()
		next := "giving up"
		if e.WillRetry != nil && *e.WillRetry {
			next = "trying again"
		}
		r.note("attempt %d failed, %s: %s", e.Attempt, next, describe(e.Error))
	case tightbeamv1.TurnEventResumed:
		r.lost = true
		r.endLine()
		r.note("events %d to %d were lost when the server stopped; the answer is shown whole at its end", e.LostFrom, e.LostTo)
	case tightbeamv1.TurnEventCompleted:
		r.completed(e)
	case tightbeamv1.TurnEventFailed:
		r.endLine()
		return &TurnFailedError{Name: turn, Phase: tightbeamv1.TurnFailed, Reason: describe(e.Error)}
	case tightbeamv1.TurnEventCancelled:
		r.endLine()
		return &TurnFailedError{Name: turn, Phase: tightbeamv1.TurnCancelled, Reason: e.Reason}
	}
	return r.err
}

func (r *renderer) blockStarted(e tightbeamv1.TurnEvent) {
	switch e.Kind {
	case tightbeamv1.BlockToolUse:
		r.endLine()
		r.tool = true
		r.write(r.out, fmt.Sprintf("[tool call %s] %s ", e.ToolCallID, e.ToolName))
	case tightbeamv1.BlockThinking:
		if r.showThinking {
			r.endLine()
			r.thinking = true
			r.write(r.notes, "[thinking] ")
		}
	}
}

func (r *renderer) blockDelta(e tightbeamv1.TurnEvent) {
	switch {
	case e.Text != "":
		r.shown.WriteString(e.Text)
		r.write(r.out, e.Text)
	case e.JSON != "":
		r.write(r.out, e.JSON)
	case e.Thinking != "" && r.showThinking:
		r.write(r.notes, e.Thinking)
	}
}

func (r *renderer) blockStopped() {
	if r.tool {
		r.endLine()
	}
	if r.thinking {
		r.write(r.notes, "\n")
	}
	r.tool, r.thinking = false, false
}

// completed shows what the events did not: all of the answer where some were
// lost or where the reader began behind the first one.
func (r *renderer) completed(e tightbeamv1.TurnEvent) {
	if e.Message == nil {
		r.endLine()
		return
	}
	whole := textOf(e.Message)
	if whole != r.shown.String() {
		if rest, begins := strings.CutPrefix(whole, r.shown.String()); begins && !r.lost {
			r.write(r.out, rest)
		} else {
			r.endLine()
			r.write(r.out, whole)
		}
	}
	r.endLine()
	switch e.StopReason {
	case "", tightbeamv1.StopEndTurn:
	case tightbeamv1.StopToolUse:
		r.note("the model waits for the results of its tool calls")
	default:
		r.note("the model stopped before its end: %s", e.StopReason)
	}
}

// endLine begins a new line of the answer, unless it is at one.
func (r *renderer) endLine() {
	if !r.fresh {
		r.write(r.out, "\n")
	}
}

func (r *renderer) note(format string, args ...any) {
	r.write(r.notes, fmt.Sprintf("["+format+"]\n", args...))
}

func (r *renderer) write(w io.Writer, text string) {
	if text == "" || r.err != nil {
		return
	}
	text = request.Printable(text)
	if w == r.out {
		r.fresh = strings.HasSuffix(text, "\n")
	}
	_, r.err = io.WriteString(w, text)
}

func textOf(message *tightbeamv1.Message) string {
	var text strings.Builder
	for _, block := range message.Content {
		if block.Text != nil {
			text.WriteString(*block.Text)
		}
	}
	return text.String()
}

func describe(e *tightbeamv1.TurnError) string {
	if e == nil {
		return "no reason was given"
	}
	text := string(e.Class)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return request.Printable(text)
}
