// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
)

// selectableFields are what field selectors may name, besides metadata.name
// and metadata.namespace. The set that each Fields function returns holds
// exactly these; a test keeps the two together.
var selectableFields = map[string][]string{
	"TightbeamModel":   {"spec.provider", "spec.secretName"},
	"TightbeamChannel": {"spec.type", "spec.targetModel"},
	"Conversation":     {"spec.model", "status.phase"},
	"Turn":             {"spec.conversation", "spec.model", "spec.agent", "status.phase", "status.model"},
}

// ModelFields is what field selectors see of a model.
func ModelFields(m *TightbeamModel) fields.Set {
	return objectFields(m.Name, m.Namespace, fields.Set{
		"spec.provider":   string(m.Spec.Provider),
		"spec.secretName": m.Spec.SecretName,
	})
}

// ChannelFields is what field selectors see of a channel.
func ChannelFields(c *TightbeamChannel) fields.Set {
	return objectFields(c.Name, c.Namespace, fields.Set{
		"spec.type":        string(c.Spec.Type),
		"spec.targetModel": c.Spec.TargetModel,
	})
}

// ConversationFields is what field selectors see of a conversation.
func ConversationFields(c *Conversation) fields.Set {
	return objectFields(c.Name, c.Namespace, fields.Set{
		"spec.model":   c.Spec.Model,
		"status.phase": string(c.Status.Phase),
	})
}

// TurnFields is what field selectors see of a turn.
func TurnFields(t *Turn) fields.Set {
	return objectFields(t.Name, t.Namespace, fields.Set{
		"spec.conversation": t.Spec.Conversation,
		"spec.model":        t.Spec.Model,
		"spec.agent":        t.Spec.Agent,
		"status.phase":      string(t.Status.Phase),
		"status.model":      t.Status.Model,
	})
}

func objectFields(name, namespace string, set fields.Set) fields.Set {
	set["metadata.name"] = name
	set["metadata.namespace"] = namespace
	return set
}

func addFieldLabelConversions(scheme *runtime.Scheme) error {
	for kind, selectable := range selectableFields {
		selectable := append([]string{"metadata.name", "metadata.namespace"}, selectable...)
		err := scheme.AddFieldLabelConversionFunc(SchemeGroupVersion.WithKind(kind), func(label, value string) (string, string, error) {
			if slices.Contains(selectable, label) {
				return label, value, nil
			}
			return "", "", fmt.Errorf("field label %q is not known for %s; known are %s", label, kind, strings.Join(selectable, ", "))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
