// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ConcurrencyPolicy says what a new turn does while another one runs.
// +enum
type ConcurrencyPolicy string

const (
	// ConcurrencyEnqueue lets the new turn wait for those before it.
	ConcurrencyEnqueue ConcurrencyPolicy = "Enqueue"
	// ConcurrencyReject refuses the new turn.
	ConcurrencyReject ConcurrencyPolicy = "Reject"
	// ConcurrencyInterrupt cancels the turns before it, whose messages stay
	// in the history.
	ConcurrencyInterrupt ConcurrencyPolicy = "Interrupt"
	// ConcurrencyRollback cancels the turns before it and takes their
	// messages out of the history that the provider is sent. The log keeps
	// them.
	ConcurrencyRollback ConcurrencyPolicy = "Rollback"
)

// ConversationPhase says whether a turn of the conversation is unfinished.
// +enum
type ConversationPhase string

const (
	ConversationIdle   ConversationPhase = "Idle"
	ConversationActive ConversationPhase = "Active"
)

// CascadeFinalizer keeps a deleted conversation until its turns and its log are
// gone.
const CascadeFinalizer = "tightbeam.dev/cascade"

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Conversation is a history of messages that the server owns, and the
// defaults of the turns that add to it.
type Conversation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec has the defaults of the conversation's turns and the rules by
	// which they follow each other.
	Spec ConversationSpec `json:"spec"`
	// status is what has been observed of the conversation.
	// +optional
	Status ConversationStatus `json:"status,omitempty"`
}

// ConversationSpec has the defaults of the conversation's turns and the rules
// by which they follow each other.
type ConversationSpec struct {
	// model names the TightbeamModel of this namespace that turns run on
	// unless they name another. It may change.
	Model string `json:"model"`
	// title is for people.
	// +optional
	Title string `json:"title,omitempty"`
	// system is the system prompt of turns that bring none.
	// +optional
	System string `json:"system,omitempty"`
	// tools are offered to the model by turns that bring none.
	// +optional
	// +listType=map
	// +listMapKey=name
	Tools []Tool `json:"tools,omitempty"`
	// concurrencyPolicy says what a new turn does while one is unfinished:
	// Enqueue, Reject, Interrupt or Rollback. Default Enqueue.
	// +optional
	// +default="Enqueue"
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`
	// maxQueuedTurns is how many turns may wait behind the running one.
	// Default 32.
	// +optional
	// +default=32
	MaxQueuedTurns *int32 `json:"maxQueuedTurns,omitempty"`
	// forkFrom copies the log of another conversation when this one is
	// created. It cannot change.
	// +optional
	ForkFrom *ForkFrom `json:"forkFrom,omitempty"`
	// history limits what is sent to the provider. The log is never cut.
	// +optional
	History *History `json:"history,omitempty"`
	// ttlSecondsAfterLastTurn is the time in seconds after the end of the
	// last turn at which the conversation is deleted. Unset: it is kept.
	// +optional
	TTLSecondsAfterLastTurn *int32 `json:"ttlSecondsAfterLastTurn,omitempty"`
}

// Tool is a function that the model may call. The caller runs it and sends
// the result in a new turn.
type Tool struct {
	// name of the tool.
	Name string `json:"name"`
	// description tells the model what the tool does.
	// +optional
	Description string `json:"description,omitempty"`
	// parameters is the JSON Schema of the tool's input, an object.
	// +optional
	Parameters *runtime.RawExtension `json:"parameters,omitempty"`
}

// ForkFrom names a point in the log of another conversation.
type ForkFrom struct {
	// conversation of the same namespace. Whoever forks needs the verb use on it.
	Conversation string `json:"conversation"`
	// afterIndex is the index of the last message that is copied. Default:
	// the whole log.
	// +optional
	AfterIndex *int64 `json:"afterIndex,omitempty"`
}

// History limits what is sent to the provider.
type History struct {
	// maxMessages is the number of newest messages that are sent. A tool
	// result is never sent without its call.
	// +optional
	MaxMessages *int32 `json:"maxMessages,omitempty"`
}

// ConversationStatus is what has been observed of a conversation.
type ConversationStatus struct {
	// phase is Active while a turn is unfinished, else Idle.
	// +optional
	Phase ConversationPhase `json:"phase,omitempty"`
	// observedGeneration is the generation that the condition Ready is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// turns is the number of turns that have been accepted.
	// +optional
	Turns int64 `json:"turns"`
	// messages is the index of the last message in the log.
	// +optional
	Messages int64 `json:"messages"`
	// activeTurn is the name of the turn that runs.
	// +optional
	ActiveTurn string `json:"activeTurn,omitempty"`
	// lastTurnTime is when the last turn ended.
	// +optional
	LastTurnTime *metav1.Time `json:"lastTurnTime,omitempty"`
	// usage is the sum over the conversation's finished turns.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
	// conditions: Ready says whether turns can run.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ConversationList is a list of conversations.
type ConversationList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Conversation `json:"items"`
}
