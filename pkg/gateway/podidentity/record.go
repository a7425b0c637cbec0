// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package podidentity

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/storage/record"
)

// ResourcePrefix is the folder of the records in the store.
const ResourcePrefix = "/internal.safebeam.dev/pods"

// Resource is how errors, metrics and the encryption configuration name the
// records.
var Resource = schema.GroupResource{Group: record.Version.Group, Resource: "pods"}

// Record says what a pod is there for. Its name is the pod's UID.
type Record struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	// Pod is what the controller said.
	Pod Pod `json:"pod"`
}

// Pod is one pod of a model's job.
type Pod struct {
	UID types.UID `json:"uid"`
	// ModelNamespace, Model and ModelUID are the TightbeamModel that it serves.
	ModelNamespace string    `json:"modelNamespace"`
	Model          string    `json:"model"`
	ModelUID       types.UID `json:"modelUID"`
	// Job is the name of its job.
	Job string `json:"job"`
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
