// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// keepMeta is the metadata of a status write: the old object's, but for the
// version the write was made against and who owns which field.
func keepMeta(obj, old *metav1.ObjectMeta) {
	version, managed := obj.ResourceVersion, obj.ManagedFields
	old.DeepCopyInto(obj)
	obj.ResourceVersion, obj.ManagedFields = version, managed
}

// resetStatus are the fields that a write of the object itself cannot own.
func resetStatus(version schema.GroupVersion) map[fieldpath.APIVersion]*fieldpath.Set {
	return reset(version, fieldpath.MakePathOrDie("status"))
}

// resetSpec are the fields that a write of the status cannot own.
func resetSpec(version schema.GroupVersion) map[fieldpath.APIVersion]*fieldpath.Set {
	return reset(version, fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
}

func reset(version schema.GroupVersion, paths ...fieldpath.Path) map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(version.String()): fieldpath.NewSet(paths...),
	}
}
