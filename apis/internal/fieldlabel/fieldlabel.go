// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fieldlabel tells a scheme what field selectors may name.
package fieldlabel

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Labels of what all objects, and all objects of a namespace, can be selected by.
const (
	Name      = "metadata.name"
	Namespace = "metadata.namespace"
)

// Register lets selectors of each kind name the fields listed, and no others.
func Register(scheme *runtime.Scheme, version schema.GroupVersion, selectable map[string][]string) error {
	for kind, known := range selectable {
		err := scheme.AddFieldLabelConversionFunc(version.WithKind(kind), func(label, value string) (string, string, error) {
			if slices.Contains(known, label) {
				return label, value, nil
			}
			return "", "", fmt.Errorf("field label %q is not known for %s; known are %s", label, kind, strings.Join(known, ", "))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Namespaced adds to a set what all objects of a namespace show.
func Namespaced(meta *metav1.ObjectMeta, set fields.Set) fields.Set {
	set[Name], set[Namespace] = meta.Name, meta.Namespace
	return set
}
