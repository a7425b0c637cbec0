// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Template is what a pod was made as, or is to be made as.
type Template struct {
	// Hash stands for all of it, and for what is preloaded.
	Hash            string
	Environment     string
	SecurityLevel   v1.SecurityLevel
	Resources       v1.Resources
	ProfileRef      *v1.ObjectReference // with its namespace
	Filesystem      v1.Filesystem
	SecurityContext v1.SecurityContext
	NetworkAccess   *v1.NetworkAccess
}

// TemplateOf is what a pod was made as.
func TemplateOf(pod *v1.WarmPod) *Template {
	s := &pod.Status
	return &Template{
		Hash:            s.TemplateHash,
		Environment:     s.RuntimeEnvironment,
		SecurityLevel:   s.SecurityLevel,
		Resources:       *orEmpty(s.Resources),
		ProfileRef:      s.ProfileRef,
		Filesystem:      *orEmpty(s.Filesystem),
		SecurityContext: *orEmpty(s.SecurityContext),
		NetworkAccess:   s.NetworkAccess,
	}
}

// Write puts the template into the status of a pod that is made by it.
func (t *Template) Write(status *v1.WarmPodStatus) {
	status.TemplateHash = t.Hash
	status.RuntimeEnvironment = t.Environment
	status.SecurityLevel = t.SecurityLevel
	status.Resources = t.Resources.DeepCopy()
	status.ProfileRef = t.ProfileRef.DeepCopy()
	status.Filesystem = t.Filesystem.DeepCopy()
	status.SecurityContext = t.SecurityContext.DeepCopy()
	status.NetworkAccess = t.NetworkAccess.DeepCopy()
}

// Design is the template of a pool's pods. The profile is nil if the pool names
// none. A pod is made as a sandbox is that names the same profile and nothing
// else: that is who it is for.
func Design(pool *v1.WarmPool, environment *v1.RuntimeEnvironment, profile *v1.SandboxProfile) *Template {
	// The defaults of a sandbox, by the functions that set them.
	sandbox := v1.SandboxSpec{ProfileRef: pool.Spec.ProfileRef, SecurityContext: &v1.SecurityContext{
		RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](defaultID), RunAsGroup: ptr.To[int64](defaultID),
	}}
	spec := pool.Spec.DeepCopy()
	var rules *v1.SandboxProfileSpec
	if profile != nil {
		rules = &profile.Spec
	}
	policy.Apply(rules, &sandbox)
	policy.ApplyPool(rules, spec) // a pool that was made before its profile
	t := &Template{
		Environment:     environment.Name,
		SecurityLevel:   spec.SecurityLevel,
		Resources:       *spec.Resources,
		Filesystem:      *sandbox.Filesystem,
		SecurityContext: *sandbox.SecurityContext,
		NetworkAccess:   spec.NetworkAccess,
	}
	if ref := spec.ProfileRef; ref != nil {
		t.ProfileRef = &v1.ObjectReference{Name: ref.Name, Namespace: ref.Namespace}
		if t.ProfileRef.Namespace == "" {
			t.ProfileRef.Namespace = pool.Namespace
		}
	}
	t.Hash = hash(t, environment, spec)
	return t
}

// hashLength is short enough for a name and long enough not to meet its like.
const hashLength = 10

// hash is over JSON: quantities that are the same in other words may differ,
// which replaces pods that could have stayed.
func hash(t *Template, environment *v1.RuntimeEnvironment, spec *v1.WarmPoolSpec) string {
	data, err := json.Marshal(struct {
		Template    Template
		Environment v1.RuntimeEnvironmentSpec
		Packages    []string
		Scripts     []v1.PreloadScript
	}{
		*t,
		v1.RuntimeEnvironmentSpec{
			Image: environment.Spec.Image, Language: environment.Spec.Language,
			Version: environment.Spec.Version, PackageManager: environment.Spec.PackageManager,
		},
		spec.PreloadPackages, spec.PreloadScripts,
	})
	if err != nil {
		panic(err) // API types always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:hashLength]
}

func orEmpty[T any](p *T) *T {
	if p == nil {
		p = new(T)
	}
	return p
}
