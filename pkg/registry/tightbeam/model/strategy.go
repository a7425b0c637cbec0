// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"context"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/apis/tightbeam/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Launcher says what runs the jobs of models, as far as that changes what a
// field can do.
type Launcher string

const (
	// LauncherKubernetes runs jobs as batch/v1 Jobs.
	LauncherKubernetes Launcher = "kubernetes"
	// LauncherLocal runs jobs as child processes, without images and without
	// a network of their own.
	LauncherLocal Launcher = "local"
)

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	launcher Launcher
}

func newStrategy(typer runtime.ObjectTyper, launcher Launcher) strategy {
	return strategy{typer, names.SimpleNameGenerator, launcher}
}

func (strategy) NamespaceScoped() bool                         { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return true }
func (strategy) Canonicalize(runtime.Object)                   {}

func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetStatus(v1.SchemeGroupVersion)
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	model := obj.(*v1.TightbeamModel)
	model.Status = v1.TightbeamModelStatus{}
	model.Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	model, oldModel := obj.(*v1.TightbeamModel), old.(*v1.TightbeamModel)
	model.Status = oldModel.Status
	if !v1.Semantic.DeepEqual(model.Spec, oldModel.Spec) {
		model.Generation = oldModel.Generation + 1
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.Model(obj.(*v1.TightbeamModel))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ModelUpdate(obj.(*v1.TightbeamModel), old.(*v1.TightbeamModel))
}

func (s strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	return s.warnings(&obj.(*v1.TightbeamModel).Spec)
}

func (s strategy) WarningsOnUpdate(_ context.Context, obj, _ runtime.Object) []string {
	return s.warnings(&obj.(*v1.TightbeamModel).Spec)
}

// warnings names what the launcher cannot honour.
func (s strategy) warnings(spec *v1.TightbeamModelSpec) []string {
	if s.launcher != LauncherLocal {
		return nil
	}
	var warnings []string
	if spec.Image != "" {
		warnings = append(warnings, "spec.image: has no effect here, the local launcher runs jobs as child processes")
	}
	if len(spec.Egress) > 0 {
		warnings = append(warnings, "spec.egress: has no effect here, jobs of the local launcher share the host's network")
	}
	return warnings
}

// statusStrategy writes the status and nothing else.
type statusStrategy struct{ strategy }

func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetSpec(v1.SchemeGroupVersion)
}

func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	model, oldModel := obj.(*v1.TightbeamModel), old.(*v1.TightbeamModel)
	generic.KeepMeta(&model.ObjectMeta, &oldModel.ObjectMeta)
	model.Spec = oldModel.Spec
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ModelStatusUpdate(obj.(*v1.TightbeamModel), old.(*v1.TightbeamModel))
}

func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetAttrs is what selectors see of a model.
func GetAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	model, ok := obj.(*v1.TightbeamModel)
	if !ok {
		return nil, nil, generic.NotA("TightbeamModel", obj)
	}
	return model.Labels, v1.ModelFields(model), nil
}
