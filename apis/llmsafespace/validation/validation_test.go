// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

var limits = Limits{
	CPU:              resource.MustParse("4"),
	Memory:           resource.MustParse("8Gi"),
	EphemeralStorage: resource.MustParse("20Gi"),
	VolumeSize:       resource.MustParse("100Gi"),
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "default", ResourceVersion: "7"}
}

func amount(s string) *resource.Quantity { return ptr.To(resource.MustParse(s)) }

// served gives an object the defaults that the server gives it.
func served[T runtime.Object](object T) T {
	scheme := runtime.NewScheme()
	if err := v1.Install(scheme); err != nil {
		panic(err)
	}
	scheme.Default(object)
	return object
}
