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
	"RuntimeEnvironment": {fieldlabel.Name, "spec.language", "spec.version"},
	"SandboxProfile":     {fieldlabel.Name, fieldlabel.Namespace, "spec.language", "spec.securityLevel"},
	"Sandbox":            {fieldlabel.Name, fieldlabel.Namespace, "spec.runtime", "spec.securityLevel", "spec.user", "status.phase", "status.createdBy"},
	"Execution":          {fieldlabel.Name, fieldlabel.Namespace, "spec.sandbox", "status.phase"},
	"WarmPool":           {fieldlabel.Name, fieldlabel.Namespace, "spec.runtime", "spec.securityLevel"},
	"WarmPod":            {fieldlabel.Name, fieldlabel.Namespace, "spec.poolRef.name", "status.phase"},
}

// RuntimeEnvironmentFields is what field selectors see of a runtime environment.
func RuntimeEnvironmentFields(r *RuntimeEnvironment) fields.Set {
	return fields.Set{
		fieldlabel.Name: r.Name,
		"spec.language": r.Spec.Language,
		"spec.version":  r.Spec.Version,
	}
}

// SandboxProfileFields is what field selectors see of a profile.
func SandboxProfileFields(p *SandboxProfile) fields.Set {
	return fieldlabel.Namespaced(&p.ObjectMeta, fields.Set{
		"spec.language":      p.Spec.Language,
		"spec.securityLevel": string(p.Spec.SecurityLevel),
	})
}

// SandboxFields is what field selectors see of a sandbox.
func SandboxFields(s *Sandbox) fields.Set {
	return fieldlabel.Namespaced(&s.ObjectMeta, fields.Set{
		"spec.runtime":       s.Spec.Runtime,
		"spec.securityLevel": string(s.Spec.SecurityLevel),
		"spec.user":          s.Spec.User,
		"status.phase":       string(s.Status.Phase),
		"status.createdBy":   s.Status.CreatedBy,
	})
}

// ExecutionFields is what field selectors see of an execution.
func ExecutionFields(e *Execution) fields.Set {
	return fieldlabel.Namespaced(&e.ObjectMeta, fields.Set{
		"spec.sandbox": e.Spec.Sandbox,
		"status.phase": string(e.Status.Phase),
	})
}

// WarmPoolFields is what field selectors see of a pool.
func WarmPoolFields(p *WarmPool) fields.Set {
	return fieldlabel.Namespaced(&p.ObjectMeta, fields.Set{
		"spec.runtime":       p.Spec.Runtime,
		"spec.securityLevel": string(p.Spec.SecurityLevel),
	})
}

// WarmPodFields is what field selectors see of a warm pod.
func WarmPodFields(p *WarmPod) fields.Set {
	return fieldlabel.Namespaced(&p.ObjectMeta, fields.Set{
		"spec.poolRef.name": p.Spec.PoolRef.Name,
		"status.phase":      string(p.Status.Phase),
	})
}

func addFieldLabelConversions(scheme *runtime.Scheme) error {
	return fieldlabel.Register(scheme, SchemeGroupVersion, selectableFields)
}
