// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package record is about what the server keeps for itself beside the objects of
// its API: whose a pod is, what it serves with, the heads of conversations. Such
// records are in the same store, under a group of their own that no API serves.
package record

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"safebeam.dev/safebeam/pkg/storage"
)

// Version is that of records that are of no group of the API.
var Version = schema.GroupVersion{Group: "internal.safebeam.dev", Version: "v1"}

// Codec encodes records of these types, and their lists, for the store as the
// objects of the API are encoded. The scheme is their own.
func Codec(version schema.GroupVersion, types ...runtime.Object) runtime.Codec {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(version, types...)
	metav1.AddToGroupVersion(scheme, version)
	return storage.NewCodec(scheme, version, version)
}
