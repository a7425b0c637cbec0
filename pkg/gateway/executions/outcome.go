// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// Reasons of ends.
const (
	reasonCompleted       = "Completed"
	reasonNonZeroExit     = "NonZeroExitCode"
	reasonSignaled        = "Signaled"
	reasonTimedOut        = "DeadlineExceeded"
	reasonCancelled       = "Cancelled"
	reasonOOMKilled       = "OOMKilled"
	reasonPids            = "ProcessLimitExceeded"
	reasonStopped         = "Stopped"
	reasonNotFound        = "CommandNotFound"
	reasonNoInterpreter   = "InterpreterNotFound"
	reasonNoPermission    = "PermissionDenied"
	reasonInvalid         = "InvalidCommand"
	reasonExhausted       = "SandboxExhausted"
	reasonNotWritten      = "CodeNotWritten"
	reasonUnreachable     = "SandboxUnreachable"
	reasonProcessLost     = "ProcessLost"
	reasonMisbehaved      = "AgentMisbehaved"
	reasonNoAnswer        = "NoAnswer"
	reasonSandboxDeleted  = "SandboxDeleted"
	reasonDeleted         = "Deleted"
	exitCodeNotFound      = 127
	exitCodeNotExecutable = 126
)

// outcome is how an execution ended.
type outcome struct {
	phase           v1.ExecutionPhase
	reason, message string
	exitCode        *int32
	signal          string
	// exit is what sandboxd said of the process, if it did.
	exit *sandboxes.Exit
}

// neverStarted says of an outcome that came before the process did.
func (o outcome) neverStarted() outcome {
	o.message += "; it had not started"
	return o
}

// endError ends a run with an outcome.
type endError struct{ outcome outcome }

func (e *endError) Error() string { return e.outcome.message }

// sandboxOver is what the end of a sandbox does to its executions.
func sandboxOver(sandbox *v1.Sandbox) outcome {
	lost := func(reason, message string) outcome {
		return outcome{phase: v1.ExecutionLost, reason: reason, message: message}
	}
	switch {
	case sandbox == nil:
		return lost(reasonSandboxDeleted, "the sandbox was deleted")
	case sandbox.DeletionTimestamp != nil && !sandbox.Status.Phase.Terminal():
		return lost(reasonSandboxDeleted, fmt.Sprintf("sandbox %q was deleted", sandbox.Name))
	}
	reason := sandbox.Status.Reason
	if reason == "" {
		reason = "Sandbox" + string(sandbox.Status.Phase)
	}
	message := fmt.Sprintf("sandbox %q is %s", sandbox.Name, sandbox.Status.Phase)
	if sandbox.Status.Message != "" {
		message += ": " + sandbox.Status.Message
	}
	return lost(reason, message)
}

// exited is the outcome of a process that ended. cancelled names who had it
// stopped, if somebody had.
func exited(exit sandboxes.Exit, cancelled string) outcome {
	o := outcome{phase: v1.ExecutionFailed, exitCode: ptr.To(int32(exit.Code)), exit: &exit}
	if exit.Signal != 0 {
		if o.signal = unix.SignalName(exit.Signal); o.signal == "" {
			o.signal = fmt.Sprintf("SIG%d", exit.Signal)
		}
	}
	switch exit.Reason {
	case sandboxpb.Exited_TIMED_OUT:
		o.phase, o.reason, o.message = v1.ExecutionTimedOut, reasonTimedOut, exit.Message
		o.exitCode = ptr.To(int32(v1.ExitCodeTimedOut))
	case sandboxpb.Exited_STOPPED:
		o.reason, o.message = reasonStopped, exit.Message
		if cancelled != "" {
			o.phase, o.reason, o.message = v1.ExecutionCancelled, reasonCancelled, cancelled
		}
	case sandboxpb.Exited_MEMORY:
		o.reason, o.message = reasonOOMKilled, exit.Message
	case sandboxpb.Exited_PIDS:
		o.reason, o.message = reasonPids, exit.Message
	case sandboxpb.Exited_DETACHED:
		o.reason, o.message = reasonStopped, exit.Message
	default:
		switch {
		case exit.Signal != 0:
			o.reason, o.message = reasonSignaled, "the process was ended by "+o.signal
		case exit.Code != 0:
			o.reason, o.message = reasonNonZeroExit, fmt.Sprintf("the process ended with exit code %d", exit.Code)
		default:
			o.phase, o.reason = v1.ExecutionSucceeded, reasonCompleted
		}
	}
	return o
}

// notStarted is the outcome of a process that did not start.
func notStarted(err *sandboxes.StartError, code bool) outcome {
	o := outcome{phase: v1.ExecutionFailed, message: err.Message}
	switch err.Reason {
	case sandboxpb.NotStarted_NOT_FOUND:
		o.reason, o.exitCode = reasonNotFound, ptr.To[int32](exitCodeNotFound)
		if code {
			o.reason, o.message = reasonNoInterpreter, "the sandbox's runtime has no interpreter for the language: "+err.Message
		}
	case sandboxpb.NotStarted_PERMISSION_DENIED:
		o.reason, o.exitCode = reasonNoPermission, ptr.To[int32](exitCodeNotExecutable)
	case sandboxpb.NotStarted_EXHAUSTED:
		o.reason = reasonExhausted
	default:
		o.reason = reasonInvalid
	}
	return o
}

// broken is the outcome of a run that ended without an exit. began says that the
// process may have been started.
func broken(err error, began bool) outcome {
	var end *endError
	switch {
	case errors.As(err, &end):
		return end.outcome
	case errors.Is(err, sandboxes.ErrMisbehaved):
		return outcome{phase: v1.ExecutionLost, reason: reasonMisbehaved, message: err.Error()}
	case !began:
		return outcome{phase: v1.ExecutionFailed, reason: reasonUnreachable, message: fmt.Sprintf("it was not started: %v", err)}
	}
	return outcome{phase: v1.ExecutionLost, reason: reasonProcessLost, message: err.Error()}
}

// apply writes an outcome into the status.
func (o outcome) apply(status *v1.ExecutionStatus, started, now metav1.MicroTime, number int64, outputs *[2]capture) {
	status.Phase, status.Reason, status.Message = o.phase, o.reason, o.message
	status.ExitCode, status.Signal = o.exitCode, o.signal
	// Until now it was when it was about to start.
	if status.StartTime = nil; !started.IsZero() {
		status.StartTime = &started
	}
	status.CompletionTime, status.LastEvent = &now, number
	var totals [2]uint64
	if o.exit != nil {
		totals = [2]uint64{o.exit.StdoutBytes, o.exit.StderrBytes}
	}
	status.Stdout, status.Stderr = outputs[0].output(totals[0]), outputs[1].output(totals[1])
	condition := metav1.Condition{
		Type: v1.ExecutionComplete, Status: metav1.ConditionTrue, Reason: o.reason, Message: o.message,
		LastTransitionTime: metav1.NewTime(now.Time),
	}
	if o.phase != v1.ExecutionSucceeded {
		condition.Type = v1.ExecutionFailureCondition
	}
	status.Conditions = []metav1.Condition{condition}
}

// terminalEvent is the last event of an execution, a function of its terminal
// status.
func terminalEvent(object *v1.Execution) *v1.ExecutionEvent {
	status := &object.Status
	event := &v1.ExecutionEvent{
		Number: status.LastEvent, Type: v1.ExecutionEventType(status.Phase),
		ExitCode: status.ExitCode, Signal: status.Signal, Reason: status.Reason, Message: status.Message,
	}
	if status.CompletionTime != nil {
		event.Time = *status.CompletionTime
	}
	return event
}
