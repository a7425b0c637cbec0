// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ExecutionPhase says where an execution is. All but Queued and Running are
// terminal: an execution reaches exactly one of them and never leaves it.
// +enum
type ExecutionPhase string

const (
	ExecutionQueued ExecutionPhase = "Queued"
	// ExecutionRunning is durable before the process starts: an execution runs
	// at most once.
	ExecutionRunning ExecutionPhase = "Running"
	// ExecutionSucceeded ended with exit code 0.
	ExecutionSucceeded ExecutionPhase = "Succeeded"
	// ExecutionFailed ended with another one, by a signal, or did not start.
	ExecutionFailed ExecutionPhase = "Failed"
	// ExecutionTimedOut was killed after timeoutSeconds; its exit code is 124.
	ExecutionTimedOut  ExecutionPhase = "TimedOut"
	ExecutionCancelled ExecutionPhase = "Cancelled"
	// ExecutionLost is one whose outcome nobody can tell any more.
	ExecutionLost ExecutionPhase = "Lost"
)

// Terminal reports whether the phase is one that an execution never leaves.
func (p ExecutionPhase) Terminal() bool {
	switch p {
	case ExecutionSucceeded, ExecutionFailed, ExecutionTimedOut, ExecutionCancelled, ExecutionLost:
		return true
	}
	return false
}

// ExitCodeTimedOut is the exit code of an execution that timed out, as that of
// the command timeout.
const ExitCodeTimedOut = 124

// Conditions of executions, for kubectl wait.
const (
	ExecutionComplete         = "Complete"
	ExecutionFailureCondition = "Failed"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Execution is code or a command that runs once in a sandbox. It survives its
// client, and its output survives the sandbox.
type Execution struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what runs. It cannot change.
	Spec ExecutionSpec `json:"spec"`
	// status is how far it is, and how it ended.
	// +optional
	Status ExecutionStatus `json:"status,omitempty"`
}

// ExecutionSpec is what runs. It cannot change.
type ExecutionSpec struct {
	// sandbox of this namespace to run in.
	Sandbox string `json:"sandbox"`
	// code of a program in the language. Either code or command.
	// +optional
	Code string `json:"code,omitempty"`
	// command and its arguments, without a shell in between. Either code or command.
	// +optional
	// +listType=atomic
	Command []string `json:"command,omitempty"`
	// language of the code. Default: that of the sandbox's runtime.
	// +optional
	Language string `json:"language,omitempty"`
	// stdin is what the process reads. Default: nothing.
	// +optional
	Stdin string `json:"stdin,omitempty"`
	// env is added to the sandbox's environment, and wins over it.
	// +optional
	// +listType=map
	// +listMapKey=name
	Env []EnvVar `json:"env,omitempty"`
	// workingDir is where the process starts. Default /workspace.
	// +optional
	// +default="/workspace"
	WorkingDir string `json:"workingDir,omitempty"`
	// timeoutSeconds is the time after which the whole process group is
	// killed. Default 30.
	// +optional
	// +default=30
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
	// ttlSecondsAfterFinished is how long the object and its output stay.
	// Default 3600.
	// +optional
	// +default=3600
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// ExecutionStatus is how far an execution is, and how it ended.
type ExecutionStatus struct {
	// phase is Queued, Running, Succeeded, Failed, TimedOut, Cancelled or Lost.
	// +optional
	Phase ExecutionPhase `json:"phase,omitempty"`
	// reason says in a word why, such as OOMKilled or SandboxDeleted.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says it in a sentence.
	// +optional
	Message string `json:"message,omitempty"`
	// sandboxUID is the sandbox that it runs in; one of the same name made
	// later never adopts it.
	// +optional
	SandboxUID types.UID `json:"sandboxUID,omitempty"`
	// exitCode of the process; 124 after a timeout, 128 and the signal's number
	// after a signal.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// signal that ended the process, such as SIGKILL.
	// +optional
	Signal string `json:"signal,omitempty"`
	// stdout of the process.
	// +optional
	Stdout *ExecutionOutput `json:"stdout,omitempty"`
	// stderr of the process.
	// +optional
	Stderr *ExecutionOutput `json:"stderr,omitempty"`
	// startTime is when the process was started.
	// +optional
	StartTime *metav1.MicroTime `json:"startTime,omitempty"`
	// lastEvent is the number of the last event in the log, set at the end.
	// +optional
	LastEvent int64 `json:"lastEvent,omitempty"`
	// completionTime is when it reached its terminal phase.
	// +optional
	CompletionTime *metav1.MicroTime `json:"completionTime,omitempty"`
	// conditions: Complete and Failed, for kubectl wait.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// ExecutionOutput is the beginning and the end of a stream. Bytes that are no
// UTF-8 stand as U+FFFD; the subresource log has them as they were.
type ExecutionOutput struct {
	// head is the beginning, all of it where it is not truncated.
	// +optional
	Head string `json:"head,omitempty"`
	// tail is the end, where something is left out after head.
	// +optional
	Tail string `json:"tail,omitempty"`
	// totalBytes is what the process wrote.
	TotalBytes int64 `json:"totalBytes"`
	// truncated says that something is left out between head and tail.
	// +optional
	Truncated bool `json:"truncated,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ExecutionList is a list of executions.
type ExecutionList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Execution `json:"items"`
}
