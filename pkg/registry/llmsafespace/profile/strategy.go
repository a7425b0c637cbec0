// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

type strategy struct {
	generic.Strategy
	limits validation.Limits
}

func newStrategy(typer runtime.ObjectTyper, limits validation.Limits) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion), limits}
}

func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set { return nil }

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	object := obj.(*v1.SandboxProfile)
	object.Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.SandboxProfile), old.(*v1.SandboxProfile)
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.SandboxProfile(obj.(*v1.SandboxProfile), s.limits)
}

func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.SandboxProfileUpdate(obj.(*v1.SandboxProfile), old.(*v1.SandboxProfile), s.limits)
}
