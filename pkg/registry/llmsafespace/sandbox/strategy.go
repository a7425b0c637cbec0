// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	limits validation.Limits
}

func newStrategy(typer runtime.ObjectTyper, limits validation.Limits) strategy {
	return strategy{typer, names.SimpleNameGenerator, limits}
}

func (strategy) NamespaceScoped() bool                         { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }
func (strategy) Canonicalize(runtime.Object)                   {}

func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetStatus(v1.SchemeGroupVersion)
}

func (strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	object := obj.(*v1.Sandbox)
	object.Generation = 1
	object.Status = v1.SandboxStatus{Phase: v1.SandboxPending}
	if user, ok := request.UserFrom(ctx); ok {
		object.Status.CreatedBy = user.GetName()
	}
	if !slices.Contains(object.Finalizers, v1.SandboxFinalizer) {
		object.Finalizers = append(object.Finalizers, v1.SandboxFinalizer)
	}
	v1.CompleteSandbox(&object.Spec)
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.Sandbox), old.(*v1.Sandbox)
	object.Status = oldObject.Status
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.Sandbox(obj.(*v1.Sandbox), s.limits)
}

func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.SandboxUpdate(obj.(*v1.Sandbox), old.(*v1.Sandbox), s.limits)
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// statusStrategy writes the status and nothing else.
type statusStrategy struct{ strategy }

func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetSpec(v1.SchemeGroupVersion)
}

func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.Sandbox), old.(*v1.Sandbox)
	generic.KeepMeta(&object.ObjectMeta, &oldObject.ObjectMeta)
	object.Spec = oldObject.Spec
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.SandboxStatusUpdate(obj.(*v1.Sandbox), old.(*v1.Sandbox))
}

func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetAttrs is what selectors see of a sandbox.
func GetAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	object, ok := obj.(*v1.Sandbox)
	if !ok {
		return nil, nil, generic.NotA("Sandbox", obj)
	}
	return object.Labels, v1.SandboxFields(object), nil
}
