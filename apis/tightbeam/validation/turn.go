// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"math"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Turn validates a new turn.
func Turn(turn *v1.Turn) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&turn.ObjectMeta, true, check.Name, field.NewPath("metadata"))
	return append(errs, turnSpec(&turn.Spec, field.NewPath("spec"))...)
}

// TurnUpdate validates a changed turn: labels and the like may change, what is
// asked may not.
func TurnUpdate(turn, old *v1.Turn) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&turn.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, check.Unchanged(&turn.Spec, &old.Spec, v1.Semantic.DeepEqual, field.NewPath("spec"),
		"a turn cannot change: cancel it and create another one")...)
}

func turnSpec(spec *v1.TurnSpec, path *field.Path) field.ErrorList {
	errs := check.Reference(spec.Conversation, "a Conversation of this namespace", path.Child("conversation"))
	errs = append(errs, messages(spec.Messages, path.Child("messages"))...)
	errs = append(errs, check.Agent(spec.Agent, path.Child("agent"))...)
	if spec.System != nil {
		errs = append(errs, check.Text(*spec.System, maxSystem, path.Child("system"))...)
	}
	errs = append(errs, tools(spec.Tools, path.Child("tools"))...)
	errs = append(errs, toolChoice(spec.ToolChoice, spec.Tools, path.Child("toolChoice"))...)
	errs = append(errs, check.OptionalReference(spec.Model, path.Child("model"))...)
	errs = append(errs, check.Between(spec.MaxTokens, 1, maxTokens, path.Child("maxTokens"))...)
	// Not a number is neither below nor above.
	if t := spec.Temperature; t != nil && !(*t >= 0 && *t <= 2) {
		errs = append(errs, field.Invalid(path.Child("temperature"), *t, "must be from 0 to 2"))
	}
	errs = append(errs, thinking(spec.Thinking, path.Child("thinking"))...)
	_, schemaErrs := check.Object(spec.ResponseSchema, maxSchema, path.Child("responseSchema"))
	errs = append(errs, schemaErrs...)
	errs = append(errs, check.Between(spec.DeadlineSeconds, 1, maxDeadline, path.Child("deadlineSeconds"))...)
	return append(errs, check.Between(spec.TTLSecondsAfterFinished, 0, maxTTL, path.Child("ttlSecondsAfterFinished"))...)
}

// TurnStatusUpdate keeps the laws of a turn's phases: a terminal one is never
// left, and its outcome stays as it is.
func TurnStatusUpdate(turn, old *v1.Turn) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&turn.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path := field.NewPath("status")
	errs = append(errs, turnStatus(&turn.Status, path)...)
	before, after := &old.Status, &turn.Status
	if before.Position != 0 {
		errs = append(errs, apivalidation.ValidateImmutableField(after.Position, before.Position, path.Child("position"))...)
	}
	if before.ConversationUID != "" {
		errs = append(errs, apivalidation.ValidateImmutableField(after.ConversationUID, before.ConversationUID, path.Child("conversationUID"))...)
	}
	if !before.Phase.Terminal() {
		return errs
	}
	for _, outcome := range []struct {
		name          string
		before, after any
	}{
		{"phase", before.Phase, after.Phase},
		{"stopReason", before.StopReason, after.StopReason},
		{"message", before.Message, after.Message},
		{"error", before.Error, after.Error},
		{"lastEvent", before.LastEvent, after.LastEvent},
		{"completionTime", before.CompletionTime, after.CompletionTime},
	} {
		if !v1.Semantic.DeepEqual(outcome.before, outcome.after) {
			errs = append(errs, field.Forbidden(path.Child(outcome.name), "cannot change: the turn is "+string(before.Phase)))
		}
	}
	return errs
}

func turnStatus(status *v1.TurnStatus, path *field.Path) field.ErrorList {
	errs := check.OneOf(status.Phase, path.Child("phase"), v1.TurnQueued, v1.TurnRunning, v1.TurnSucceeded, v1.TurnFailed, v1.TurnCancelled)
	errs = append(errs, check.OptionalOneOf(status.StopReason, path.Child("stopReason"),
		v1.StopEndTurn, v1.StopToolUse, v1.StopMaxTokens, v1.StopStopSequence, v1.StopRefusal,
		v1.StopContextExceeded, v1.StopPaused, v1.StopContentFilter, v1.StopOther)...)
	errs = append(errs, check.NotNegative(status.Position, path.Child("position"))...)
	errs = append(errs, check.NotNegative(status.LastEvent, path.Child("lastEvent"))...)
	errs = append(errs, usage(status.Usage, path.Child("usage"))...)
	errs = append(errs, metav1validation.ValidateConditions(status.Conditions, path.Child("conditions"))...)
	if status.Phase.Terminal() && status.CompletionTime == nil {
		errs = append(errs, field.Required(path.Child("completionTime"), "a turn that is over says since when"))
	}
	if !status.Phase.Terminal() && status.CompletionTime != nil {
		errs = append(errs, field.Forbidden(path.Child("completionTime"), "the turn is not over"))
	}
	if status.Message != nil {
		for i, call := range status.Message.ToolCalls {
			_, inputErrs := check.Object(call.Input, math.MaxInt, path.Child("message", "toolCalls").Index(i).Child("input"))
			errs = append(errs, inputErrs...)
		}
	}
	if status.Phase == v1.TurnFailed && status.Error == nil {
		errs = append(errs, field.Required(path.Child("error"), "a turn that failed says why"))
	}
	return errs
}
