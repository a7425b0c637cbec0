// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/apis/tightbeam/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Finalizer keeps a deleted conversation until its turns and its log are gone.
const Finalizer = v1.CascadeFinalizer

type strategy struct {
	generic.Strategy
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion)}
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	conversation := obj.(*v1.Conversation)
	conversation.Status = v1.ConversationStatus{Phase: v1.ConversationIdle}
	conversation.Generation = 1
	if !slices.Contains(conversation.Finalizers, Finalizer) {
		conversation.Finalizers = append(conversation.Finalizers, Finalizer)
	}
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	conversation, oldConversation := obj.(*v1.Conversation), old.(*v1.Conversation)
	conversation.Status = oldConversation.Status
	if !v1.Semantic.DeepEqual(conversation.Spec, oldConversation.Spec) {
		conversation.Generation = oldConversation.Generation + 1
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.Conversation(obj.(*v1.Conversation))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ConversationUpdate(obj.(*v1.Conversation), old.(*v1.Conversation))
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(conversation, old *v1.Conversation) { conversation.Spec = old.Spec }, validation.ConversationStatusUpdate)
}
