// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
	generic.Strategy
	launcher Launcher
}

func newStrategy(typer runtime.ObjectTyper, launcher Launcher) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion), launcher}
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

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(model, old *v1.TightbeamModel) { model.Spec = old.Spec }, validation.ModelStatusUpdate)
}
