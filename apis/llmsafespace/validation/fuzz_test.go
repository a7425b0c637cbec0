// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestValidationSurvivesAnything(t *testing.T) {
	t.Parallel()
	checktest.Survives(t, func(o, old *v1.Sandbox) field.ErrorList {
		return slices.Concat(Sandbox(o, limits), SandboxUpdate(o, old, limits), SandboxStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.Execution) field.ErrorList {
		return slices.Concat(Execution(o), ExecutionUpdate(o, old), ExecutionStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.WarmPool) field.ErrorList {
		return slices.Concat(WarmPool(o, limits), WarmPoolUpdate(o, old, limits), WarmPoolStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.WarmPod) field.ErrorList {
		return slices.Concat(WarmPod(o), WarmPodUpdate(o, old), WarmPodStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.SandboxProfile) field.ErrorList {
		return slices.Concat(SandboxProfile(o, limits), SandboxProfileUpdate(o, old, limits))
	})
	checktest.Survives(t, func(o, old *v1.RuntimeEnvironment) field.ErrorList {
		return slices.Concat(RuntimeEnvironment(o), RuntimeEnvironmentUpdate(o, old), RuntimeEnvironmentStatusUpdate(o, old))
	})
}
