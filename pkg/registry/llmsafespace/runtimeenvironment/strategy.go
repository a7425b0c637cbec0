// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package runtimeenvironment

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

type strategy struct {
	generic.Strategy
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion)}
}

func (strategy) NamespaceScoped() bool { return false }

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	object := obj.(*v1.RuntimeEnvironment)
	object.Generation = 1
	object.Status = v1.RuntimeEnvironmentStatus{}
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.RuntimeEnvironment), old.(*v1.RuntimeEnvironment)
	object.Status = oldObject.Status
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.RuntimeEnvironment(obj.(*v1.RuntimeEnvironment))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.RuntimeEnvironmentUpdate(obj.(*v1.RuntimeEnvironment), old.(*v1.RuntimeEnvironment))
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(object, old *v1.RuntimeEnvironment) { object.Spec = old.Spec }, validation.RuntimeEnvironmentStatusUpdate)
}
