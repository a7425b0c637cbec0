// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

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

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	object := obj.(*v1.WarmPod)
	object.Generation = 1
	object.Status = v1.WarmPodStatus{Phase: v1.WarmPodPending}
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.WarmPod), old.(*v1.WarmPod)
	object.Status = oldObject.Status
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.WarmPod(obj.(*v1.WarmPod))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.WarmPodUpdate(obj.(*v1.WarmPod), old.(*v1.WarmPod))
}

func (strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	return warnings(&obj.(*v1.WarmPod).Spec)
}

func (strategy) WarningsOnUpdate(_ context.Context, obj, _ runtime.Object) []string {
	return warnings(&obj.(*v1.WarmPod).Spec)
}

// warnings names what LLMSafeSpace's manifests have and nothing comes of.
func warnings(spec *v1.WarmPodSpec) []string {
	var warnings []string
	if spec.CreationTimestamp != nil {
		warnings = append(warnings, "spec.creationTimestamp: has no effect, metadata.creationTimestamp tells when the pod was made")
	}
	if spec.LastHeartbeat != nil {
		warnings = append(warnings, "spec.lastHeartbeat: has no effect, status.lastHeartbeat tells when the pod was last heard of")
	}
	return warnings
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(object, old *v1.WarmPod) { object.Spec = old.Spec }, validation.WarmPodStatusUpdate)
}
