// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "default"}
}

// raw is JSON as the server decodes it.
func raw(json string) *runtime.RawExtension {
	return &runtime.RawExtension{Raw: []byte(json)}
}

// served gives an object the defaults that the server gives it.
func served[T runtime.Object](object T) T {
	scheme := runtime.NewScheme()
	if err := v1.Install(scheme); err != nil {
		panic(err)
	}
	scheme.Default(object)
	return object
}
