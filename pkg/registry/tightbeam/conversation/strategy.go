// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"slices"

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

// Finalizer keeps a deleted conversation until its turns and its log are gone.
const Finalizer = v1.CascadeFinalizer

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{typer, names.SimpleNameGenerator}
}

func (strategy) NamespaceScoped() bool                         { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return true }
func (strategy) Canonicalize(runtime.Object)                   {}

func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetStatus(v1.SchemeGroupVersion)
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
	conversation, oldConversation := obj.(*v1.Conversation), old.(*v1.Conversation)
	generic.KeepMeta(&conversation.ObjectMeta, &oldConversation.ObjectMeta)
	conversation.Spec = oldConversation.Spec
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ConversationStatusUpdate(obj.(*v1.Conversation), old.(*v1.Conversation))
}

// GetAttrs is what selectors see of a conversation.
func GetAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	conversation, ok := obj.(*v1.Conversation)
	if !ok {
		return nil, nil, generic.NotA("Conversation", obj)
	}
	return conversation.Labels, v1.ConversationFields(conversation), nil
}
