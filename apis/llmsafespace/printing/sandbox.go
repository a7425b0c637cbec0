// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package printing

import (
	"path"
	"strings"
	"time"

	"safebeam.dev/safebeam/apis/internal/table"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Sandboxes prints Sandboxes.
func Sandboxes() *table.Convertor[*v1.Sandbox] { return table.New(sandboxes...) }

var sandboxes = []table.Column[*v1.Sandbox]{
	{Name: "Runtime", Description: "The language and version, or the RuntimeEnvironment.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		return s.Spec.Runtime
	}},
	{Name: "Status", Description: "Where the sandbox is in its life, or why it ended.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		if s.Status.Phase.Terminal() && s.Status.Reason != "" {
			return string(s.Status.Phase) + ":" + s.Status.Reason
		}
		return table.Phase(s, s.Status.Phase)
	}},
	{Name: "Warm", Description: "The warm pod that was bound.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		if s.Status.WarmPodRef == nil {
			return table.None
		}
		return s.Status.WarmPodRef.Name
	}},
	{Name: "Expires", Description: "How long the sandbox has left.", Cell: func(s *v1.Sandbox, now time.Time) any {
		if s.Status.ExpiresAt == nil || s.Status.Phase.Terminal() {
			return table.None
		}
		return table.Left(now, s.Status.ExpiresAt.Time)
	}},
	{Name: "Security", Wide: true, Description: "The security level.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		return table.OrNone(s.Spec.SecurityLevel)
	}},
	{Name: "User", Wide: true, Description: "Whom the sandbox is for.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		return table.Line(s.Spec.User, 32)
	}},
	{Name: "Ready In", Wide: true, Description: "From creation until it could be used.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		if s.Status.Timings == nil || s.Status.Timings.ReadyMilliseconds == 0 {
			return table.None
		}
		return table.Elapsed(time.Duration(s.Status.Timings.ReadyMilliseconds) * time.Millisecond)
	}},
	{Name: "Pod", Wide: true, Description: "The pod, with its namespace.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		return table.OrNone(path.Join(s.Status.PodNamespace, s.Status.PodName))
	}},
	{Name: "Node", Wide: true, Description: "Where the pod runs.", Cell: func(s *v1.Sandbox, _ time.Time) any {
		return table.OrNone(s.Status.NodeName)
	}},
}

// Executions prints Executions.
func Executions() *table.Convertor[*v1.Execution] { return table.New(executions...) }

var executions = []table.Column[*v1.Execution]{
	{Name: "Sandbox", Description: "Where it runs.", Cell: func(e *v1.Execution, _ time.Time) any {
		return e.Spec.Sandbox
	}},
	{Name: "Status", Description: "Where the execution is.", Cell: func(e *v1.Execution, _ time.Time) any {
		return table.Phase(e, e.Status.Phase)
	}},
	{Name: "Exit", Description: "The exit code, or the signal.", Cell: func(e *v1.Execution, _ time.Time) any {
		// The signal of a timeout is how, 124 is why.
		if e.Status.Signal != "" && e.Status.Phase != v1.ExecutionTimedOut {
			return e.Status.Signal
		}
		return table.OptionalNumber(e.Status.ExitCode)
	}},
	{Name: "Took", Description: "From start to end.", Cell: func(e *v1.Execution, now time.Time) any {
		if e.Status.StartTime == nil {
			return table.None
		}
		end := now
		if e.Status.CompletionTime != nil {
			end = e.Status.CompletionTime.Time
		}
		return table.Elapsed(end.Sub(e.Status.StartTime.Time))
	}},
	{Name: "Reason", Wide: true, Description: "Why it ended as it did.", Cell: func(e *v1.Execution, _ time.Time) any {
		return table.OrNone(e.Status.Reason)
	}},
	{Name: "Output", Wide: true, Description: "Bytes written to stdout and stderr.", Cell: func(e *v1.Execution, _ time.Time) any {
		return bytesOf(e.Status.Stdout) + "/" + bytesOf(e.Status.Stderr)
	}},
	{Name: "Runs", Wide: true, Description: "The beginning of the code or command.", Cell: func(e *v1.Execution, _ time.Time) any {
		if e.Spec.Code != "" {
			return table.Line(e.Spec.Code, 40)
		}
		return table.Line(strings.Join(e.Spec.Command, " "), 40)
	}},
}

func bytesOf(output *v1.ExecutionOutput) string {
	if output == nil {
		return "0"
	}
	return table.Count(output.TotalBytes)
}
