// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

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
	related related
}

func newStrategy(typer runtime.ObjectTyper, related related) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion), related}
}

// AllowUnconditionalUpdate wants the resource version: two writers are to know of
// each other.
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }

// PrepareForCreate binds the execution to the sandbox that has the name now;
// Validate says so where there is none.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	object := obj.(*v1.Execution)
	object.Generation = 1
	object.Status = v1.ExecutionStatus{Phase: v1.ExecutionQueued}
	if sandbox, err := s.related.sandbox(ctx, object); err == nil && sandbox != nil {
		object.Status.SandboxUID = sandbox.UID
	}
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.Execution), old.(*v1.Execution)
	object.Status = oldObject.Status
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	execution := obj.(*v1.Execution)
	errs := validation.Execution(execution)
	if execution.Spec.Sandbox == "" {
		return errs // already said
	}
	return append(errs, s.validateRelated(ctx, execution)...)
}

func (s strategy) validateRelated(ctx context.Context, execution *v1.Execution) field.ErrorList {
	path := field.NewPath("spec", "sandbox")
	sandbox, err := s.related.sandbox(ctx, execution)
	switch {
	case err != nil:
		return field.ErrorList{field.InternalError(path, err)}
	case sandbox == nil || sandbox.UID != execution.Status.SandboxUID:
		return field.ErrorList{generic.Missing(path, execution.Spec.Sandbox, "there is no such Sandbox in this namespace: make it first")}
	case sandbox.DeletionTimestamp != nil:
		return field.ErrorList{field.Invalid(path, execution.Spec.Sandbox, "the sandbox is being deleted")}
	case sandbox.Status.Phase.Terminal() || sandbox.Status.Phase == v1.SandboxTerminating:
		return field.ErrorList{field.Invalid(path, execution.Spec.Sandbox, over(sandbox))}
	}
	return s.validateLanguage(ctx, execution, sandbox)
}

// validateLanguage wants code that something can run. Without a language it is
// in that of the sandbox's runtime.
func (s strategy) validateLanguage(ctx context.Context, execution *v1.Execution, sandbox *v1.Sandbox) field.ErrorList {
	if execution.Spec.Code == "" {
		return nil
	}
	path, language := field.NewPath("spec", "language"), execution.Spec.Language
	if language == "" {
		var err error
		if language, err = s.related.language(ctx, sandbox); err != nil {
			return field.ErrorList{field.Required(path, err.Error())}
		}
	}
	if known, there := s.related.languages(language); !known {
		return field.ErrorList{field.NotSupported(path, language, there)}
	}
	return nil
}

// over says why nothing runs in a sandbox any more.
func over(sandbox *v1.Sandbox) string {
	message := "the sandbox is " + string(sandbox.Status.Phase)
	if sandbox.Status.Reason != "" {
		message += " (" + sandbox.Status.Reason + ")"
	}
	return message + ": create another one"
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ExecutionUpdate(obj.(*v1.Execution), old.(*v1.Execution))
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(object, old *v1.Execution) { object.Spec = old.Spec }, validation.ExecutionStatusUpdate)
}
