// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/randfill"

	"safebeam.dev/safebeam/apis/internal/apitest"
)

var group = apitest.Group{
	Install: Install,
	Version: SchemeGroupVersion,
	Fuzz: []any{
		func(raw *runtime.RawExtension, c randfill.Continue) {
			document, err := json.Marshal(map[string]any{"a": c.Uint32(), "b": []string{c.String(8)}})
			if err != nil {
				panic(err)
			}
			*raw = runtime.RawExtension{Raw: document}
		},
		func(object *TightbeamModel, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_TightbeamModel(object)
		},
		func(object *TightbeamChannel, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_TightbeamChannel(object)
		},
		func(object *Conversation, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_Conversation(object)
		},
		func(object *Turn, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_Turn(object)
		},
	},
	Selectable: selectableFields,
	Fields: map[string]func(runtime.Object) fields.Set{
		"TightbeamModel":   func(o runtime.Object) fields.Set { return ModelFields(o.(*TightbeamModel)) },
		"TightbeamChannel": func(o runtime.Object) fields.Set { return ChannelFields(o.(*TightbeamChannel)) },
		"Conversation":     func(o runtime.Object) fields.Set { return ConversationFields(o.(*Conversation)) },
		"Turn":             func(o runtime.Object) fields.Set { return TurnFields(o.(*Turn)) },
	},
}

func TestGroup(t *testing.T) { group.Run(t) }

func TestJSONIsComparedByWhatItSays(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[2]}`, "{ \"b\": [ 2 ],\n\"a\": 1 }", true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{``, `{}`, false},
	} {
		a, b := runtime.RawExtension{Raw: []byte(tc.a)}, runtime.RawExtension{Raw: []byte(tc.b)}
		if got := Semantic.DeepEqual(a, b); got != tc.same {
			t.Errorf("%s and %s: the same is %v", tc.a, tc.b, got)
		}
	}
}
