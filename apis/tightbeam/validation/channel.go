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

// everybody in allowedSenders lets all senders in.
const everybody = "*"

// Channel validates a new channel.
func Channel(channel *v1.TightbeamChannel) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&channel.ObjectMeta, true, check.LabelledName, field.NewPath("metadata"))
	return append(errs, channelSpec(&channel.Spec, field.NewPath("spec"))...)
}

// ChannelUpdate validates a changed channel.
func ChannelUpdate(channel, old *v1.TightbeamChannel) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&channel.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, channelSpec(&channel.Spec, field.NewPath("spec"))...)
}

// ChannelStatusUpdate validates what the controller observed.
func ChannelStatusUpdate(channel, old *v1.TightbeamChannel) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&channel.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, metav1validation.ValidateConditions(channel.Status.Conditions, field.NewPath("status", "conditions"))...)
}

func channelSpec(spec *v1.TightbeamChannelSpec, path *field.Path) field.ErrorList {
	errs := check.OneOf(spec.Type, path.Child("type"), v1.ChannelTypeDiscord, v1.ChannelTypeSlack)
	errs = append(errs, check.Reference(spec.SecretName, "the Secret with the key bot-token", path.Child("secretName"))...)
	errs = append(errs, check.Image(spec.Image, path.Child("image"))...)
	errs = append(errs, check.OptionalReference(spec.TargetModel, path.Child("targetModel"))...)
	if spec.Conversation != nil {
		errs = append(errs, check.OneOf(spec.Conversation.Scope, path.Child("conversation", "scope"),
			v1.ConversationScopeThread, v1.ConversationScopeChannel, v1.ConversationScopeSender)...)
	}
	errs = append(errs, senders(spec.AllowedSenders, path.Child("allowedSenders"))...)
	errs = append(errs, check.Text(spec.System, maxSystem, path.Child("system"))...)
	return append(errs, check.Agent(spec.Agent, path.Child("agent"))...)
}

func senders(senders []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(senders) > maxSenders {
		errs = append(errs, field.TooMany(path, len(senders), maxSenders))
	}
	seen := map[string]bool{}
	for i, sender := range senders {
		switch {
		case seen[sender]:
			errs = append(errs, field.Duplicate(path.Index(i), sender))
		case sender == everybody && len(senders) > 1:
			errs = append(errs, field.Invalid(path.Index(i), sender, "lets everybody in: the other senders have no effect, leave them out"))
		default:
			errs = append(errs, check.Word(sender, 128, `the platform's id of a sender, or "*" for everybody`, path.Index(i))...)
		}
		seen[sender] = true
	}
	return errs
}
