// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package heads

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage/record"
)

// ResourcePrefix is the folder of the heads in the store.
const ResourcePrefix = "/internal.tightbeam.dev/heads"

var groupVersion = schema.GroupVersion{Group: "internal.tightbeam.dev", Version: "v1"}

// Resource is how errors and metrics name the record. It is not served.
var Resource = schema.GroupResource{Group: groupVersion.Group, Resource: "heads"}

// Head is the record of one conversation; its name is the conversation's UID.
type Head struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	// ConversationNamespace and ConversationName are for people and recovery.
	ConversationNamespace string `json:"conversationNamespace"`
	ConversationName      string `json:"conversationName"`

	// Positions is the number of positions given out.
	Positions int64 `json:"positions"`
	// Queue has the claims in order; the first may run.
	Queue []Claim `json:"queue,omitempty"`
	// Closed heads take no claim.
	Closed bool `json:"closed,omitempty"`

	// LastTurnTime is when the last turn ended.
	LastTurnTime *metav1.Time `json:"lastTurnTime,omitempty"`
	// Usage is the sum over released turns, each counted once because it is
	// added with the release.
	Usage tightbeamv1.Usage `json:"usage"`
	// LastAgent is the agent of the last turn that ended. Messages may be empty
	// only after a turn of the router.
	LastAgent string `json:"lastAgent,omitempty"`
}

// Claim is the place of one turn in its conversation.
type Claim struct {
	Name     string    `json:"name"`
	UID      types.UID `json:"uid"`
	Position int64     `json:"position"`
	// Policy is the conversation's when the claim was made. Under Interrupt
	// and Rollback every claim before this one is to be cancelled.
	Policy tightbeamv1.ConcurrencyPolicy `json:"policy,omitempty"`
	// Agent of the turn.
	Agent string `json:"agent,omitempty"`
}

// HeadList is a list of heads.
type HeadList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Head `json:"items"`
}

// DeepCopyInto copies the receiver into out.
func (h *Head) DeepCopyInto(out *Head) {
	*out = *h
	h.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Queue = append([]Claim(nil), h.Queue...)
	out.LastTurnTime = h.LastTurnTime.DeepCopy()
}

// DeepCopy returns a copy.
func (h *Head) DeepCopy() *Head {
	out := new(Head)
	h.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements runtime.Object.
func (h *Head) DeepCopyObject() runtime.Object { return h.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *HeadList) DeepCopyObject() runtime.Object {
	out := &HeadList{TypeMeta: l.TypeMeta, Items: make([]Head, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		l.Items[i].DeepCopyInto(&out.Items[i])
	}
	return out
}

// Codec encodes heads for the store.
func Codec() runtime.Codec { return record.Codec(groupVersion, &Head{}, &HeadList{}) }
