// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// The defaults of api.md: those that are one value stand as +default beside
// their field, those that hang on other fields or objects are below.

// SetDefaults_SandboxSpec completes a sandbox without a profile. Where one is
// named it has its say first: the server calls CompleteSandbox after it.
func SetDefaults_SandboxSpec(spec *SandboxSpec) {
	if spec.ProfileRef == nil {
		CompleteSandbox(spec)
	}
}

// CompleteSandbox sets what neither the user nor a profile has set.
func CompleteSandbox(spec *SandboxSpec) {
	completeLevel(&spec.SecurityLevel)
	completeResources(&spec.Resources)
	if spec.Filesystem == nil {
		spec.Filesystem = &Filesystem{}
	}
	if spec.Filesystem.ReadOnlyRoot == nil {
		spec.Filesystem.ReadOnlyRoot = ptr.To(true)
	}
	if len(spec.Filesystem.WritablePaths) == 0 {
		spec.Filesystem.WritablePaths = []string{"/tmp", "/workspace"}
	}
	if spec.SecurityContext == nil {
		spec.SecurityContext = &SecurityContext{}
	}
	if spec.SecurityContext.SeccompProfile == nil {
		spec.SecurityContext.SeccompProfile = &SeccompProfile{Type: SeccompRuntimeDefault}
	}
}

// SetDefaults_WarmPoolSpec completes a pool without a profile, as
// SetDefaults_SandboxSpec does a sandbox.
func SetDefaults_WarmPoolSpec(spec *WarmPoolSpec) {
	if spec.ProfileRef == nil {
		CompleteWarmPool(spec)
	}
}

// CompleteWarmPool sets what neither the user nor a profile has set.
func CompleteWarmPool(spec *WarmPoolSpec) {
	completeLevel(&spec.SecurityLevel)
	completeResources(&spec.Resources)
}

// SetDefaults_Storage gives a volume a size; where there is none, a size would
// have no effect.
func SetDefaults_Storage(storage *Storage) {
	if storage.Persistent && storage.VolumeSize == nil {
		storage.VolumeSize = ptr.To(resource.MustParse("5Gi"))
	}
}

func completeLevel(level *SecurityLevel) {
	if *level == "" {
		*level = SecurityStandard
	}
}

func completeResources(resources **Resources) {
	if *resources == nil {
		*resources = &Resources{}
	}
	for _, missing := range []struct {
		quantity **resource.Quantity
		value    string
	}{
		{&(*resources).CPU, "500m"},
		{&(*resources).Memory, "512Mi"},
		{&(*resources).EphemeralStorage, "1Gi"},
	} {
		if *missing.quantity == nil {
			*missing.quantity = ptr.To(resource.MustParse(missing.value))
		}
	}
}
