// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/randfill"

	"safebeam.dev/safebeam/apis/internal/apitest"
)

var group = apitest.Group{
	Install: Install,
	Version: SchemeGroupVersion,
	Fuzz: []any{
		func(quantity *resource.Quantity, c randfill.Continue) {
			*quantity = *resource.NewQuantity(c.Int63n(1<<40), resource.DecimalSI)
			_ = quantity.String() // fills its cache, as decoding does
		},
		func(object *SandboxProfile, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_SandboxProfile(object)
		},
		func(object *Sandbox, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_Sandbox(object)
		},
		func(object *Execution, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_Execution(object)
		},
		func(object *WarmPool, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_WarmPool(object)
		},
		func(object *WarmPod, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_WarmPod(object)
		},
	},
	Selectable: selectableFields,
	Fields: map[string]func(runtime.Object) fields.Set{
		"RuntimeEnvironment": func(o runtime.Object) fields.Set { return RuntimeEnvironmentFields(o.(*RuntimeEnvironment)) },
		"SandboxProfile":     func(o runtime.Object) fields.Set { return SandboxProfileFields(o.(*SandboxProfile)) },
		"Sandbox":            func(o runtime.Object) fields.Set { return SandboxFields(o.(*Sandbox)) },
		"Execution":          func(o runtime.Object) fields.Set { return ExecutionFields(o.(*Execution)) },
		"WarmPool":           func(o runtime.Object) fields.Set { return WarmPoolFields(o.(*WarmPool)) },
		"WarmPod":            func(o runtime.Object) fields.Set { return WarmPodFields(o.(*WarmPod)) },
	},
}

func TestGroup(t *testing.T) { group.Run(t) }
