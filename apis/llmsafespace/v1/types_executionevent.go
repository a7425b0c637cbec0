// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ExecutionEventType says what happened. The terminal types are the terminal
// phases.
type ExecutionEventType string

const (
	// ExecutionEventOutput: the process wrote. Sets stream and one of text and
	// bytes.
	ExecutionEventOutput ExecutionEventType = "Output"
	// ExecutionEventTruncated: of a stream, so many bytes are left out here. Sets
	// stream and omitted.
	ExecutionEventTruncated ExecutionEventType = "Truncated"
	// ExecutionEventResumed: after a crash the numbers lostFrom to lostTo were
	// given up; what they named could not be had again.
	ExecutionEventResumed   ExecutionEventType = "Resumed"
	ExecutionEventSucceeded                    = ExecutionEventType(ExecutionSucceeded)
	ExecutionEventFailed                       = ExecutionEventType(ExecutionFailed)
	ExecutionEventTimedOut                     = ExecutionEventType(ExecutionTimedOut)
	ExecutionEventCancelled                    = ExecutionEventType(ExecutionCancelled)
	ExecutionEventLost                         = ExecutionEventType(ExecutionLost)
)

// Terminal reports whether it is the last event of its execution.
func (t ExecutionEventType) Terminal() bool { return ExecutionPhase(t).Terminal() }

// OutputStream is one of the two outputs of a process.
type OutputStream string

const (
	Stdout OutputStream = "stdout"
	Stderr OutputStream = "stderr"
)

// ExecutionEvent is one line of executions/log. It is no API object.
//
// +k8s:deepcopy-gen=false
// +k8s:openapi-gen=false
type ExecutionEvent struct {
	// Number counts the events of an execution from 1. No number ever names two
	// different events.
	Number int64 `json:"number"`
	// Time is when the server received what the event tells.
	Time metav1.MicroTime `json:"time"`
	// Type says which of the fields below are set.
	Type ExecutionEventType `json:"type"`

	Stream OutputStream `json:"stream,omitempty"`
	// Text is what was written, if it is UTF-8 without NUL bytes; else Bytes is, in
	// base64.
	Text  string `json:"text,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
	// Omitted is how many bytes a Truncated event stands for.
	Omitted int64 `json:"omitted,omitempty"`

	LostFrom int64 `json:"lostFrom,omitempty"`
	LostTo   int64 `json:"lostTo,omitempty"`

	// ExitCode, Signal, Reason and Message are as in the status.
	ExitCode *int32 `json:"exitCode,omitempty"`
	Signal   string `json:"signal,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message,omitempty"`
}

// Data is what an Output event brings.
func (e *ExecutionEvent) Data() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.Text)
}
