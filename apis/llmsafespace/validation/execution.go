// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Execution validates a new execution.
func Execution(execution *v1.Execution) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&execution.ObjectMeta, true, check.Name, field.NewPath("metadata"))
	return append(errs, executionSpec(&execution.Spec, field.NewPath("spec"))...)
}

// ExecutionUpdate validates a changed execution: what runs cannot change.
func ExecutionUpdate(execution, old *v1.Execution) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&execution.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, check.Unchanged(&execution.Spec, &old.Spec, apiequality.Semantic.DeepEqual, field.NewPath("spec"),
		"an execution cannot change: cancel it and create another one")...)
}

// ExecutionStatusUpdate keeps the laws of an execution's phases: it starts at
// most once, and a terminal one is never left.
func ExecutionStatusUpdate(execution, old *v1.Execution) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&execution.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path, status := field.NewPath("status"), &execution.Status
	errs = append(errs, check.OneOf(status.Phase, path.Child("phase"), v1.ExecutionQueued, v1.ExecutionRunning, v1.ExecutionSucceeded,
		v1.ExecutionFailed, v1.ExecutionTimedOut, v1.ExecutionCancelled, v1.ExecutionLost)...)
	errs = append(errs, metav1validation.ValidateConditions(status.Conditions, path.Child("conditions"))...)
	before := old.Status.Phase
	switch {
	case before.Terminal() && status.Phase != before:
		errs = append(errs, field.Forbidden(path.Child("phase"), "cannot change: the execution is "+string(before)))
	case before == v1.ExecutionRunning && status.Phase == v1.ExecutionQueued:
		errs = append(errs, field.Forbidden(path.Child("phase"), "cannot go back: an execution runs at most once"))
	}
	if status.Phase.Terminal() && status.CompletionTime == nil {
		errs = append(errs, field.Required(path.Child("completionTime"), "an execution that is over says since when"))
	}
	if old.Status.SandboxUID != "" {
		errs = append(errs, apivalidation.ValidateImmutableField(status.SandboxUID, old.Status.SandboxUID, path.Child("sandboxUID"))...)
	}
	errs = append(errs, output(status.Stdout, path.Child("stdout"))...)
	return append(errs, output(status.Stderr, path.Child("stderr"))...)
}

func output(output *v1.ExecutionOutput, path *field.Path) field.ErrorList {
	if output == nil {
		return nil
	}
	errs := check.NotNegative(output.TotalBytes, path.Child("totalBytes"))
	if output.Tail != "" && !output.Truncated {
		errs = append(errs, field.Forbidden(path.Child("tail"), "is for output that is truncated: all of it stands in head"))
	}
	return errs
}

func executionSpec(spec *v1.ExecutionSpec, path *field.Path) field.ErrorList {
	errs := check.Reference(spec.Sandbox, "a Sandbox of this namespace", path.Child("sandbox"))
	switch {
	case spec.Code == "" && len(spec.Command) == 0:
		errs = append(errs, field.Required(path, "either code or command"))
	case spec.Code != "" && len(spec.Command) > 0:
		errs = append(errs, field.Forbidden(path.Child("command"), "code and command exclude each other: keep one"))
	}
	errs = append(errs, check.Text(spec.Code, maxCode, path.Child("code"))...)
	errs = append(errs, command(spec.Command, path.Child("command"))...)
	if spec.Language != "" {
		if spec.Code == "" {
			errs = append(errs, field.Forbidden(path.Child("language"), "is for code: a command is run as it is"))
		}
		errs = append(errs, language(spec.Language, path.Child("language"))...)
	}
	errs = append(errs, check.Text(spec.Stdin, maxStdin, path.Child("stdin"))...)
	errs = append(errs, env(spec.Env, path.Child("env"))...)
	if spec.WorkingDir != "" {
		errs = append(errs, absolute(spec.WorkingDir, path.Child("workingDir"))...)
	}
	errs = append(errs, check.Between(spec.TimeoutSeconds, 1, maxLifetime, path.Child("timeoutSeconds"))...)
	return append(errs, check.Between(spec.TTLSecondsAfterFinished, 0, maxTTL, path.Child("ttlSecondsAfterFinished"))...)
}

// command is argv: anything but NUL may stand in it, a program must.
func command(command []string, path *field.Path) field.ErrorList {
	if len(command) == 0 {
		return nil
	}
	var errs field.ErrorList
	if len(command) > maxArguments {
		errs = append(errs, field.TooMany(path, len(command), maxArguments))
	}
	if command[0] == "" {
		errs = append(errs, field.Required(path.Index(0), "the program to run"))
	}
	for i, argument := range command {
		errs = append(errs, check.Text(argument, maxArgument, path.Index(i))...)
	}
	return errs
}
