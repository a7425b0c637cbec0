// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/storage/record"
)

// ResourcePrefix is the folder of the records in the store.
const ResourcePrefix = "/internal.safebeam.dev/bindings"

// Resource is how errors, metrics and the encryption configuration name the
// records.
var Resource = schema.GroupResource{Group: record.Version.Group, Resource: "bindings"}

// The kinds of owners.
const (
	Sandbox = "Sandbox"
	WarmPod = "WarmPod"
)

// Owner is the object that a pod belongs to.
type Owner struct {
	// Kind is Sandbox or WarmPod.
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// String is for messages.
func (o Owner) String() string { return o.Kind + " " + o.Namespace + "/" + o.Name }

// Binding says whose a pod is.
type Binding struct {
	PodUID       types.UID `json:"podUID"`
	PodNamespace string    `json:"podNamespace"`
	PodName      string    `json:"podName"`
	Owner        Owner     `json:"owner"`
}

// Record is a binding as it is stored. Its name is the pod's UID.
type Record struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Binding Binding `json:"binding"`
}

// RecordList is a list of records.
type RecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Record `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (r *Record) DeepCopyObject() runtime.Object {
	out := *r
	r.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *RecordList) DeepCopyObject() runtime.Object {
	out := &RecordList{TypeMeta: l.TypeMeta, Items: make([]Record, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*Record)
	}
	return out
}

// Codec encodes records for the store.
func Codec() runtime.Codec { return record.Codec(record.Version, &Record{}, &RecordList{}) }
