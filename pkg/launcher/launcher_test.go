// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestJobNamesAreLabelsAndHostnames(t *testing.T) {
	for _, model := range []string{"m", "claude-3.5-sonnet", strings.Repeat("a", 253), strings.Repeat("a", 39) + "." + strings.Repeat("b", 40), strings.Repeat("a", 38) + "-.-" + strings.Repeat("b", 40)} {
		name := NewJobName(model)
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		if !strings.HasPrefix(name, "tightbeam-llm-") || name == NewJobName(model) {
			t.Errorf("%s is not a name of its own", name)
		}
	}
}

// Every field of a spec makes another job, so that none is forgotten when a
// field is added.
func TestHashHoldsEveryField(t *testing.T) {
	seen := map[string]string{JobSpec{}.Hash(): "nothing"}
	for i := range reflect.TypeFor[JobSpec]().NumField() {
		var spec JobSpec
		field := reflect.ValueOf(&spec).Elem().Field(i)
		name := reflect.TypeFor[JobSpec]().Field(i).Name
		switch field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Int32, reflect.Int64:
			field.SetInt(1)
		case reflect.Slice:
			field.Set(reflect.ValueOf([]networkingv1.NetworkPolicyEgressRule{{}}))
		default:
			t.Fatalf("field %s is of a kind that this test does not know", name)
		}
		if other, exists := seen[spec.Hash()]; exists {
			t.Errorf("%s makes no difference to %s", name, other)
		}
		seen[spec.Hash()] = name

		raw, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var read JobSpec
		if err := json.Unmarshal(raw, &read); err != nil || read.Hash() != spec.Hash() {
			t.Errorf("%s: a spec that was stored and read is another one: %v", name, err)
		}
	}
}
