// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/apis/tightbeam/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

type strategy struct {
	generic.Strategy
	related related
}

func newStrategy(typer runtime.ObjectTyper, related related) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion), related}
}

// AllowUnconditionalUpdate makes an update name the resource version.
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }

// PrepareForCreate fills in the status that a turn begins with, as far as its
// conversation is there; Validate says so where it is not. The position is
// claimed by the storage, below the dry run.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	turn := obj.(*v1.Turn)
	turn.Generation = 1
	turn.Status = v1.TurnStatus{Phase: v1.TurnQueued}
	if conversation, err := s.related.conversation(ctx, turn); err == nil && conversation != nil {
		turn.Status.ConversationUID = string(conversation.UID)
		turn.Status.Model = modelOf(turn, conversation)
	}
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	turn, oldTurn := obj.(*v1.Turn), old.(*v1.Turn)
	// The spec cannot change, so the generation does not either.
	turn.Status = oldTurn.Status
}

func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	turn := obj.(*v1.Turn)
	errs := validation.Turn(turn)
	if turn.Spec.Conversation == "" {
		return errs // already said
	}
	return append(errs, s.validateRelated(ctx, turn)...)
}

func (s strategy) validateRelated(ctx context.Context, turn *v1.Turn) field.ErrorList {
	path := field.NewPath("spec", "conversation")
	conversation, err := s.related.conversation(ctx, turn)
	switch {
	case err != nil:
		return field.ErrorList{field.InternalError(path, err)}
	case conversation == nil || string(conversation.UID) != turn.Status.ConversationUID:
		return field.ErrorList{generic.Missing(path, turn.Spec.Conversation, "there is no such Conversation in this namespace: make it first")}
	case conversation.DeletionTimestamp != nil:
		return field.ErrorList{field.Invalid(path, turn.Spec.Conversation, "the conversation is being deleted")}
	}
	if exists, err := s.related.modelExists(ctx, turn.Status.Model); err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("spec", "model"), err)}
	} else if !exists {
		if turn.Spec.Model != "" {
			return field.ErrorList{generic.Missing(field.NewPath("spec", "model"), turn.Spec.Model,
				"there is no such TightbeamModel in this namespace: make it first, or leave spec.model out and have the conversation's")}
		}
		return field.ErrorList{field.Invalid(path, turn.Spec.Conversation,
			fmt.Sprintf("there is no TightbeamModel %q, which is the conversation's: make it, change spec.model of the conversation, or set spec.model of the turn", turn.Status.Model))}
	}
	return nil
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.TurnUpdate(obj.(*v1.Turn), old.(*v1.Turn))
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(turn, old *v1.Turn) { turn.Spec = old.Spec }, validation.TurnStatusUpdate)
}
