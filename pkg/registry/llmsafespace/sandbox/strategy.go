// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/reference"
)

type strategy struct {
	generic.Strategy
	limits     validation.Limits
	references reference.Reader
	// shortfalls is Config.Shortfalls.
	shortfalls func(*v1.SandboxSpec) []string
}

func newStrategy(typer runtime.ObjectTyper, limits validation.Limits, references reference.Reader, shortfalls func(*v1.SandboxSpec) []string) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion), limits, references, shortfalls}
}

// AllowUnconditionalUpdate wants the resource version: two writers are to know of
// each other.
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }

// PrepareForCreate makes of the sandbox what it becomes by the objects that it
// names, as far as they are there; Validate says so where they are not. What
// stands in the status is the server's, whoever wrote another one.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	object := obj.(*v1.Sandbox)
	object.Generation = 1
	object.Status = v1.SandboxStatus{Phase: v1.SandboxPending}
	if user, ok := request.UserFrom(ctx); ok {
		object.Status.CreatedBy = user.GetName()
	}
	if !slices.Contains(object.Finalizers, v1.SandboxFinalizer) {
		object.Finalizers = append(object.Finalizers, v1.SandboxFinalizer)
	}
	seen := s.look(ctx, object)
	policy.Apply(seen.ProfileSpec(), &object.Spec)
	if seen.Environment != nil {
		object.Status.RuntimeEnvironment = seen.Environment.Name
		object.Status.RuntimeVersion = seen.Environment.Spec.Version
	}
}

func (strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.Sandbox), old.(*v1.Sandbox)
	keepFinalizer(ctx, object, oldObject)
	object.Status = oldObject.Status
	inherit(&object.Spec, &oldObject.Spec)
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	sandbox := obj.(*v1.Sandbox)
	seen := s.look(ctx, sandbox)
	own := sandbox
	if policy.SeccompByProfile(seen.ProfileSpec(), &sandbox.Spec) {
		// It is the profile's, which may name what the level does not let a
		// sandbox name.
		own = sandbox.DeepCopy()
		own.Spec.SecurityContext.SeccompProfile = nil
	}
	errs := validation.Sandbox(own, s.limits)
	for _, err := range held(sandbox, seen) {
		// A value that is none cannot be there either: that need not be said.
		if !slices.ContainsFunc(errs, func(said *field.Error) bool { return said.Field == err.Field }) {
			errs = append(errs, err)
		}
	}
	return errs
}

func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	sandbox, oldSandbox := obj.(*v1.Sandbox), old.(*v1.Sandbox)
	return append(validation.SandboxUpdate(sandbox, oldSandbox, s.limits), s.mayRelease(ctx, sandbox, oldSandbox)...)
}

func (s strategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	sandbox := obj.(*v1.Sandbox)
	seen := s.look(ctx, sandbox)
	if seen.Environment == nil {
		return nil
	}
	warnings := policy.Warnings(seen.Environment, sandbox.Spec.SecurityLevel, sandbox.Spec.Resources)
	if s.shortfalls != nil {
		warnings = append(warnings, s.shortfalls(&sandbox.Spec)...)
	}
	return warnings
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(object, old *v1.Sandbox) { object.Spec = old.Spec }, validation.SandboxStatusUpdate)
}
