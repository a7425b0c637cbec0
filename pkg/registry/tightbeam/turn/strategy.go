// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"
	"fmt"

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

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	related related
}

func newStrategy(typer runtime.ObjectTyper, related related) strategy {
	return strategy{typer, names.SimpleNameGenerator, related}
}

func (strategy) NamespaceScoped() bool                         { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }
func (strategy) Canonicalize(runtime.Object)                   {}

func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetStatus(v1.SchemeGroupVersion)
}

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
		return field.ErrorList{field.NotFound(path, turn.Spec.Conversation)}
	case conversation.DeletionTimestamp != nil:
		return field.ErrorList{field.Invalid(path, turn.Spec.Conversation, "the conversation is being deleted")}
	}
	if exists, err := s.related.modelExists(ctx, turn.Status.Model); err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("spec", "model"), err)}
	} else if !exists {
		if turn.Spec.Model != "" {
			return field.ErrorList{field.NotFound(field.NewPath("spec", "model"), turn.Spec.Model)}
		}
		return field.ErrorList{field.Invalid(path, turn.Spec.Conversation,
			fmt.Sprintf("there is no TightbeamModel %q, which is the conversation's: make it, change spec.model of the conversation, or set spec.model of the turn", turn.Status.Model))}
	}
	return nil
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.TurnUpdate(obj.(*v1.Turn), old.(*v1.Turn))
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
	turn, oldTurn := obj.(*v1.Turn), old.(*v1.Turn)
	generic.KeepMeta(&turn.ObjectMeta, &oldTurn.ObjectMeta)
	turn.Spec = oldTurn.Spec
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.TurnStatusUpdate(obj.(*v1.Turn), old.(*v1.Turn))
}

// GetAttrs is what selectors see of a turn.
func GetAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	turn, ok := obj.(*v1.Turn)
	if !ok {
		return nil, nil, generic.NotA("Turn", obj)
	}
	return turn.Labels, v1.TurnFields(turn), nil
}
