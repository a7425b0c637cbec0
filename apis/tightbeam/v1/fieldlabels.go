// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"safebeam.dev/safebeam/apis/internal/fieldlabel"
)

// selectableFields are what field selectors may name. The set that each Fields
// function returns holds exactly these; a test keeps the two together.
var selectableFields = map[string][]string{
	"TightbeamModel":   {fieldlabel.Name, fieldlabel.Namespace, "spec.provider", "spec.secretName"},
	"TightbeamChannel": {fieldlabel.Name, fieldlabel.Namespace, "spec.type", "spec.targetModel"},
	"Conversation":     {fieldlabel.Name, fieldlabel.Namespace, "spec.model", "status.phase"},
	"Turn":             {fieldlabel.Name, fieldlabel.Namespace, "spec.conversation", "spec.model", "spec.agent", "status.phase", "status.model"},
}

// ModelFields is what field selectors see of a model.
func ModelFields(m *TightbeamModel) fields.Set {
	return fieldlabel.Namespaced(&m.ObjectMeta, fields.Set{
		"spec.provider":   string(m.Spec.Provider),
		"spec.secretName": m.Spec.SecretName,
	})
}

// ChannelFields is what field selectors see of a channel.
func ChannelFields(c *TightbeamChannel) fields.Set {
	return fieldlabel.Namespaced(&c.ObjectMeta, fields.Set{
		"spec.type":        string(c.Spec.Type),
		"spec.targetModel": c.Spec.TargetModel,
	})
}

// ConversationFields is what field selectors see of a conversation.
func ConversationFields(c *Conversation) fields.Set {
	return fieldlabel.Namespaced(&c.ObjectMeta, fields.Set{
		"spec.model":   c.Spec.Model,
		"status.phase": string(c.Status.Phase),
	})
}

// TurnFields is what field selectors see of a turn.
func TurnFields(t *Turn) fields.Set {
	return fieldlabel.Namespaced(&t.ObjectMeta, fields.Set{
		"spec.conversation": t.Spec.Conversation,
		"spec.model":        t.Spec.Model,
		"spec.agent":        t.Spec.Agent,
		"status.phase":      string(t.Status.Phase),
		"status.model":      t.Status.Model,
	})
}

func addFieldLabelConversions(scheme *runtime.Scheme) error {
	return fieldlabel.Register(scheme, SchemeGroupVersion, selectableFields)
}
