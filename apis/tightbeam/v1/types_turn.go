// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RouterAgent is the agent whose answers go to the router log alone.
const RouterAgent = "router"

// TurnPhase says where a turn is. Succeeded, Failed and Cancelled are
// terminal: a turn reaches exactly one of them and never leaves it.
// +enum
type TurnPhase string

const (
	TurnQueued    TurnPhase = "Queued"
	TurnRunning   TurnPhase = "Running"
	TurnSucceeded TurnPhase = "Succeeded"
	TurnFailed    TurnPhase = "Failed"
	TurnCancelled TurnPhase = "Cancelled"
)

// Terminal reports whether the phase is one that a turn never leaves.
func (p TurnPhase) Terminal() bool {
	return p == TurnSucceeded || p == TurnFailed || p == TurnCancelled
}

// Role says who speaks in a message.
// +enum
type Role string

const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
	RoleSystem    Role = "system"
)

// StopReason says why a model stopped, in one vocabulary for all providers.
// +enum
type StopReason string

const (
	StopEndTurn         StopReason = "EndTurn"
	StopToolUse         StopReason = "ToolUse"
	StopMaxTokens       StopReason = "MaxTokens"
	StopStopSequence    StopReason = "StopSequence"
	StopRefusal         StopReason = "Refusal"
	StopContextExceeded StopReason = "ContextExceeded"
	StopPaused          StopReason = "Paused"
	StopContentFilter   StopReason = "ContentFilter"
	StopOther           StopReason = "Other"
)

// ErrorClass says what kind of failure ended an attempt; retry and fallback
// go by it.
// +enum
type ErrorClass string

const (
	ErrorOverloaded     ErrorClass = "Overloaded"
	ErrorRateLimited    ErrorClass = "RateLimited"
	ErrorQuotaExhausted ErrorClass = "QuotaExhausted"
	ErrorAuth           ErrorClass = "Auth"
	ErrorInvalidRequest ErrorClass = "InvalidRequest"
	ErrorContextTooLong ErrorClass = "ContextTooLong"
	ErrorTimeout        ErrorClass = "Timeout"
	ErrorTruncated      ErrorClass = "Truncated"
	ErrorNetwork        ErrorClass = "Network"
	ErrorInternal       ErrorClass = "Internal"
	// ErrorJobLost: the job that ran the attempt went away.
	ErrorJobLost ErrorClass = "JobLost"
	// ErrorDeadlineExceeded: the turn's deadlineSeconds ran out.
	ErrorDeadlineExceeded ErrorClass = "DeadlineExceeded"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Turn is one call of a model: new messages in, one answer out. Its name is
// its idempotency key.
type Turn struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is asked. It cannot change.
	Spec TurnSpec `json:"spec"`
	// status is how far the turn is, and its answer.
	// +optional
	Status TurnStatus `json:"status,omitempty"`
}

// TurnSpec is what is asked. It cannot change.
type TurnSpec struct {
	// conversation of this namespace that the turn belongs to.
	Conversation string `json:"conversation"`
	// messages are the new messages only; the server has the history. They
	// may be empty only after a turn of the agent router.
	// +optional
	// +listType=atomic
	Messages []Message `json:"messages,omitempty"`
	// agent is who the answer is by, in conversations of several agents. The
	// answers of the agent "router" go to the router log alone.
	// +optional
	Agent string `json:"agent,omitempty"`
	// system replaces the conversation's system prompt.
	// +optional
	System *string `json:"system,omitempty"`
	// tools replace the conversation's tools.
	// +optional
	// +listType=map
	// +listMapKey=name
	Tools []Tool `json:"tools,omitempty"`
	// toolChoice is auto, any, none or the name of a tool. Default: the
	// provider's.
	// +optional
	ToolChoice string `json:"toolChoice,omitempty"`
	// model replaces the conversation's model.
	// +optional
	Model string `json:"model,omitempty"`
	// maxTokens replaces the model's limit on the tokens of one answer.
	// +optional
	MaxTokens *int32 `json:"maxTokens,omitempty"`
	// temperature of the sampling, from 0 to 2. Nothing is computed with it:
	// it is handed to the provider as it is.
	// +optional
	Temperature *float64 `json:"temperature,omitempty"`
	// thinking replaces the model's.
	// +optional
	Thinking *Thinking `json:"thinking,omitempty"`
	// responseSchema is a JSON Schema that the answer's text must follow.
	// +optional
	ResponseSchema *runtime.RawExtension `json:"responseSchema,omitempty"`
	// deadlineSeconds is the time in seconds from creation to the end,
	// whatever happens in between. Default 600.
	// +optional
	// +default=600
	DeadlineSeconds *int32 `json:"deadlineSeconds,omitempty"`
	// ttlSecondsAfterFinished is how long the object stays after its end; the
	// conversation's log stays. Default: the server's --turn-ttl.
	// +optional
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// Message is what one side said.
type Message struct {
	// role is user, assistant, tool or system.
	Role Role `json:"role"`
	// content is what was said, block by block.
	// +optional
	// +listType=atomic
	Content []ContentBlock `json:"content,omitempty"`
	// toolCalls are the calls that an assistant message asks for.
	// +optional
	// +listType=atomic
	ToolCalls []ToolCall `json:"toolCalls,omitempty"`
	// toolCallID names the call that a tool message answers.
	// +optional
	ToolCallID string `json:"toolCallID,omitempty"`
	// isError marks a tool message as the report of a failure.
	// +optional
	IsError bool `json:"isError,omitempty"`
	// agent is who said it, in conversations of several agents.
	// +optional
	Agent string `json:"agent,omitempty"`
}

// ContentBlock is one of text, image, thinking or native.
type ContentBlock struct {
	// text said.
	// +optional
	Text *string `json:"text,omitempty"`
	// image shown.
	// +optional
	Image *ImageBlock `json:"image,omitempty"`
	// thinking is the model's reasoning as far as the provider shows it.
	// +optional
	Thinking *string `json:"thinking,omitempty"`
	// native is a block in a provider's own form. It goes back unchanged to
	// that provider and to no other.
	// +optional
	Native *NativeBlock `json:"native,omitempty"`
}

// ImageBlock is a picture.
type ImageBlock struct {
	// mediaType is image/png, image/jpeg, image/gif or image/webp.
	MediaType string `json:"mediaType"`
	// data is the file, in base64 as JSON has it.
	Data []byte `json:"data"`
}

// NativeBlock is a block in a provider's own form: a signed thinking block, an
// encrypted reasoning item, a thought signature.
type NativeBlock struct {
	// provider whose form it is.
	Provider Provider `json:"provider"`
	// model is the provider's id of the model that made it.
	// +optional
	Model string `json:"model,omitempty"`
	// data is the block as the provider sent it.
	Data []byte `json:"data"`
}

// ToolCall is a model's wish that a tool be run.
type ToolCall struct {
	// id ties the result to the call.
	ID string `json:"id"`
	// name of the tool.
	Name string `json:"name"`
	// input is a JSON object, as the tool's parameters describe it.
	// +optional
	Input *runtime.RawExtension `json:"input,omitempty"`
}

// TurnStatus is how far a turn is, and its answer.
type TurnStatus struct {
	// phase is Queued, Running, Succeeded, Failed or Cancelled.
	// +optional
	Phase TurnPhase `json:"phase,omitempty"`
	// position is the turn's place in its conversation, from 1.
	// +optional
	Position int64 `json:"position,omitempty"`
	// conversationUID is the conversation that the turn belongs to; one of
	// the same name made later never adopts it.
	// +optional
	ConversationUID string `json:"conversationUID,omitempty"`
	// model names the TightbeamModel of the current or the next attempt.
	// +optional
	Model string `json:"model,omitempty"`
	// systemSHA256 is the hash of the system prompt of the last attempt.
	// +optional
	SystemSHA256 string `json:"systemSHA256,omitempty"`
	// notBefore is the time before which the next attempt does not start.
	// +optional
	NotBefore *metav1.MicroTime `json:"notBefore,omitempty"`
	// attempts that were begun, in order.
	// +optional
	// +listType=atomic
	Attempts []TurnAttempt `json:"attempts,omitempty"`
	// stopReason says why the model stopped.
	// +optional
	StopReason StopReason `json:"stopReason,omitempty"`
	// providerStopReason is the provider's own word for it.
	// +optional
	ProviderStopReason string `json:"providerStopReason,omitempty"`
	// message is the answer.
	// +optional
	Message *Message `json:"message,omitempty"`
	// error says what failed the turn.
	// +optional
	Error *TurnError `json:"error,omitempty"`
	// usage is the sum over the turn's attempts.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
	// lastEvent is the number of the turn's terminal event.
	// +optional
	LastEvent int64 `json:"lastEvent,omitempty"`
	// conditions: Complete and Failed, for kubectl wait.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
	// startTime is when the first attempt was handed to a job.
	// +optional
	StartTime *metav1.MicroTime `json:"startTime,omitempty"`
	// completionTime is when the turn reached its terminal phase.
	// +optional
	CompletionTime *metav1.MicroTime `json:"completionTime,omitempty"`
	// timings of the turn, in milliseconds.
	// +optional
	Timings *TurnTimings `json:"timings,omitempty"`
}

// TurnAttempt is one call of a provider.
type TurnAttempt struct {
	// model names the TightbeamModel of the attempt.
	Model string `json:"model"`
	// job that ran it.
	// +optional
	Job string `json:"job,omitempty"`
	// startTime is when the job got it.
	StartTime metav1.MicroTime `json:"startTime"`
	// firstTokenTime is when the first visible output came.
	// +optional
	FirstTokenTime *metav1.MicroTime `json:"firstTokenTime,omitempty"`
	// endTime is when it ended.
	// +optional
	EndTime *metav1.MicroTime `json:"endTime,omitempty"`
	// error says why it failed.
	// +optional
	Error *TurnError `json:"error,omitempty"`
	// usage that the provider reported for it.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
}

// TurnError says what failed.
type TurnError struct {
	// class of the failure.
	Class ErrorClass `json:"class"`
	// message for people.
	// +optional
	Message string `json:"message,omitempty"`
	// requestID is the provider's id of the request.
	// +optional
	RequestID string `json:"requestID,omitempty"`
}

// TurnTimings are durations in milliseconds.
type TurnTimings struct {
	// queuedMilliseconds is from creation to the first attempt.
	// +optional
	QueuedMilliseconds int64 `json:"queuedMilliseconds,omitempty"`
	// firstTokenMilliseconds is from creation to the first visible output.
	// +optional
	FirstTokenMilliseconds int64 `json:"firstTokenMilliseconds,omitempty"`
	// totalMilliseconds is from creation to the end.
	// +optional
	TotalMilliseconds int64 `json:"totalMilliseconds,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TurnList is a list of turns.
type TurnList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Turn `json:"items"`
}
