// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Conversation validates a new conversation.
func Conversation(conversation *v1.Conversation) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&conversation.ObjectMeta, true, check.Name, field.NewPath("metadata"))
	return append(errs, conversationSpec(&conversation.Spec, conversation.Name, field.NewPath("spec"))...)
}

// ConversationUpdate validates a changed conversation. All but its origin may
// change; it counts for the turns that start later.
func ConversationUpdate(conversation, old *v1.Conversation) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&conversation.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path := field.NewPath("spec")
	errs = append(errs, conversationSpec(&conversation.Spec, conversation.Name, path)...)
	if !v1.Semantic.DeepEqual(conversation.Spec.ForkFrom, old.Spec.ForkFrom) {
		errs = append(errs, field.Forbidden(path.Child("forkFrom"), "cannot change: the log was copied when the conversation was created; create another conversation"))
	}
	return errs
}

// ConversationStatusUpdate validates what the server observed.
func ConversationStatusUpdate(conversation, old *v1.Conversation) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&conversation.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path, status := field.NewPath("status"), &conversation.Status
	errs = append(errs, check.OptionalOneOf(status.Phase, path.Child("phase"), v1.ConversationIdle, v1.ConversationActive)...)
	errs = append(errs, check.NotNegative(status.Turns, path.Child("turns"))...)
	errs = append(errs, check.NotNegative(status.Messages, path.Child("messages"))...)
	if status.Messages < old.Status.Messages {
		errs = append(errs, field.Invalid(path.Child("messages"), status.Messages, "must not fall: the log is append-only"))
	}
	errs = append(errs, usage(status.Usage, path.Child("usage"))...)
	return append(errs, metav1validation.ValidateConditions(status.Conditions, path.Child("conditions"))...)
}

func conversationSpec(spec *v1.ConversationSpec, name string, path *field.Path) field.ErrorList {
	errs := check.Reference(spec.Model, "a TightbeamModel of this namespace", path.Child("model"))
	errs = append(errs, check.Line(spec.Title, maxTitle, path.Child("title"))...)
	errs = append(errs, check.Text(spec.System, maxSystem, path.Child("system"))...)
	errs = append(errs, tools(spec.Tools, path.Child("tools"))...)
	errs = append(errs, check.OneOf(spec.ConcurrencyPolicy, path.Child("concurrencyPolicy"),
		v1.ConcurrencyEnqueue, v1.ConcurrencyReject, v1.ConcurrencyInterrupt, v1.ConcurrencyRollback)...)
	errs = append(errs, check.Between(spec.MaxQueuedTurns, 0, maxQueue, path.Child("maxQueuedTurns"))...)
	if fork := spec.ForkFrom; fork != nil {
		forkPath := path.Child("forkFrom")
		errs = append(errs, check.Reference(fork.Conversation, "a Conversation of this namespace", forkPath.Child("conversation"))...)
		if fork.Conversation == name && name != "" {
			errs = append(errs, field.Invalid(forkPath.Child("conversation"), name, "is the conversation itself: name another one"))
		}
		errs = append(errs, check.Between(fork.AfterIndex, 1, 1<<62, forkPath.Child("afterIndex"))...)
	}
	if spec.History != nil {
		errs = append(errs, check.Between(spec.History.MaxMessages, 1, 1<<30, path.Child("history", "maxMessages"))...)
	}
	return append(errs, check.Between(spec.TTLSecondsAfterLastTurn, 0, maxTTL, path.Child("ttlSecondsAfterLastTurn"))...)
}
