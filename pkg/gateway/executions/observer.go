// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"time"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Observer is told what happens to executions. Its methods may neither block nor
// call the Runner.
type Observer interface {
	// ExecutionStarted: a process has started, so long after its execution was
	// created in the life of this process.
	ExecutionStarted(waited time.Duration)
	// ExecutionEnded: it has its terminal phase, durably. The sandbox is nil if it is
	// gone.
	ExecutionEnded(execution *v1.Execution, sandbox *v1.Sandbox)
}

type nobody struct{}

func (nobody) ExecutionStarted(time.Duration)            {}
func (nobody) ExecutionEnded(*v1.Execution, *v1.Sandbox) {}

// Counts are numbers of executions that have not ended.
type Counts struct{ Queued, Running int }

// Counts counts the executions.
func (r *Runner) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	var c Counts
	for _, q := range r.queues {
		c.Queued += q.unfinished - q.running
		c.Running += q.running
	}
	return c
}
