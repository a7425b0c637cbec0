// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A label that the scheme knows and the set lacks would match every object
// without saying so; one that the set has and the scheme lacks cannot be used.
func TestSelectableFieldsAreThoseThatObjectsShow(t *testing.T) {
	t.Parallel()
	scheme := installed(t)
	meta := metav1.ObjectMeta{Name: "a", Namespace: "b"}
	for kind, set := range map[string]map[string]string{
		"TightbeamModel":   ModelFields(&TightbeamModel{ObjectMeta: meta}),
		"TightbeamChannel": ChannelFields(&TightbeamChannel{ObjectMeta: meta}),
		"Conversation":     ConversationFields(&Conversation{ObjectMeta: meta}),
		"Turn":             TurnFields(&Turn{ObjectMeta: meta}),
	} {
		if set["metadata.name"] != "a" || set["metadata.namespace"] != "b" {
			t.Errorf("%s shows no name or namespace: %v", kind, set)
		}
		for label := range set {
			if _, _, err := scheme.ConvertFieldLabel(SchemeGroupVersion.WithKind(kind), label, ""); err != nil {
				t.Error(err)
			}
		}
		for _, label := range selectableFields[kind] {
			if _, ok := set[label]; !ok {
				t.Errorf("%s does not show %s", kind, label)
			}
		}
	}
	if kinds := slices.Sorted(maps.Keys(selectableFields)); len(kinds) != 4 {
		t.Errorf("selectable fields of other kinds too: %v", kinds)
	}
}

func TestUnknownFieldLabelIsAnsweredWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, _, err := installed(t).ConvertFieldLabel(SchemeGroupVersion.WithKind("Turn"), "spec.messages", "")
	if err == nil || !strings.Contains(err.Error(), "spec.conversation") {
		t.Errorf("got %v", err)
	}
}
