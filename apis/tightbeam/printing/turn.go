// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package printing

import (
	"time"

	"safebeam.dev/safebeam/apis/internal/table"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Turns prints Turns.
func Turns() *table.Convertor[*v1.Turn] { return table.New(turns...) }

var turns = []table.Column[*v1.Turn]{
	{Name: "Conversation", Description: "The conversation that the turn belongs to.", Cell: func(t *v1.Turn, _ time.Time) any {
		return t.Spec.Conversation
	}},
	{Name: "Phase", Description: "Where the turn is.", Cell: func(t *v1.Turn, _ time.Time) any {
		return table.Phase(t, t.Status.Phase)
	}},
	{Name: "Model", Description: "The model of the current or last attempt.", Cell: func(t *v1.Turn, _ time.Time) any {
		if t.Status.Model != "" {
			return t.Status.Model
		}
		return table.OrNone(t.Spec.Model)
	}},
	{Name: "Stop", Description: "Why the model stopped, or what failed.", Cell: func(t *v1.Turn, _ time.Time) any {
		if t.Status.Error != nil {
			return table.OrNone(t.Status.Error.Class)
		}
		return table.OrNone(t.Status.StopReason)
	}},
	{Name: "Tokens", Description: "Tokens read and written.", Cell: func(t *v1.Turn, _ time.Time) any {
		return tokens(t.Status.Usage)
	}},
	{Name: "Took", Description: "From creation to the end.", Cell: func(t *v1.Turn, _ time.Time) any {
		if t.Status.Timings == nil || !t.Status.Phase.Terminal() {
			return table.None
		}
		return table.Elapsed(time.Duration(t.Status.Timings.TotalMilliseconds) * time.Millisecond)
	}},
	{Name: "Position", Type: "integer", Wide: true, Description: "The turn's place in its conversation.", Cell: func(t *v1.Turn, _ time.Time) any {
		return t.Status.Position
	}},
	{Name: "Agent", Wide: true, Description: "Who the answer is by.", Cell: func(t *v1.Turn, _ time.Time) any {
		return table.OrNone(t.Spec.Agent)
	}},
	{Name: "Attempts", Type: "integer", Wide: true, Description: "Attempts begun.", Cell: func(t *v1.Turn, _ time.Time) any {
		return int64(len(t.Status.Attempts))
	}},
	{Name: "First Token", Wide: true, Description: "From creation to the first visible output.", Cell: func(t *v1.Turn, _ time.Time) any {
		if t.Status.Timings == nil || t.Status.Timings.FirstTokenMilliseconds == 0 {
			return table.None
		}
		return table.Elapsed(time.Duration(t.Status.Timings.FirstTokenMilliseconds) * time.Millisecond)
	}},
	{Name: "Answer", Wide: true, Description: "The beginning of the answer, or of the error.", Cell: func(t *v1.Turn, _ time.Time) any {
		return table.Line(answer(t), 50)
	}},
}

func answer(t *v1.Turn) string {
	if t.Status.Error != nil {
		return t.Status.Error.Message
	}
	if t.Status.Message == nil {
		return ""
	}
	for _, block := range t.Status.Message.Content {
		if block.Text != nil {
			return *block.Text
		}
	}
	for _, call := range t.Status.Message.ToolCalls {
		return call.Name + "()"
	}
	return ""
}
