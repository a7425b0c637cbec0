// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/reference"
)

var specPath = field.NewPath("spec")

type seenKey struct{}

// memory is what a create has read. The strategy's steps share it, so that all
// of them speak of the same objects.
type memory struct{ seen *reference.Seen }

// remembering is the context of one create.
func remembering(ctx context.Context) context.Context {
	return context.WithValue(ctx, seenKey{}, &memory{})
}

// look reads what the sandbox names, once in a create.
func (s strategy) look(ctx context.Context, sandbox *v1.Sandbox) *reference.Seen {
	known, _ := ctx.Value(seenKey{}).(*memory)
	if known != nil && known.seen != nil {
		return known.seen
	}
	seen := &reference.Seen{}
	s.references.Runtime(ctx, seen, sandbox.Spec.Runtime, specPath.Child("runtime"))
	s.references.Profile(ctx, seen, sandbox.Namespace, sandbox.Spec.ProfileRef, specPath.Child("profileRef"))
	if known != nil {
		known.seen = seen
	}
	return seen
}

// held holds a sandbox against what it names.
func held(sandbox *v1.Sandbox, seen *reference.Seen) field.ErrorList {
	errs := append(field.ErrorList{}, seen.Errors...)
	spec := &sandbox.Spec
	if spec.ProfileRef == nil || seen.Profile != nil {
		errs = append(errs, policy.HeldByProfile(seen.ProfileSpec(), spec, specPath)...)
	}
	if seen.Environment == nil {
		return errs
	}
	errs = append(errs, policy.HeldByRuntime(seen.Environment, spec.Resources, specPath.Child("resources"))...)
	return append(errs, policy.HeldTogether(seen.ProfileSpec(), seen.Environment, specPath.Child("runtime"))...)
}

// inherit sets what an update leaves out of what cannot change: the server had
// filled it in, and a client that sends its manifest again does not know that.
func inherit(spec, old *v1.SandboxSpec) {
	if spec.SecurityLevel == "" {
		spec.SecurityLevel = old.SecurityLevel
	}
	if spec.Resources == nil {
		spec.Resources = old.Resources
	} else if old.Resources != nil {
		if spec.Resources.CPU == nil {
			spec.Resources.CPU = old.Resources.CPU
		}
		if spec.Resources.Memory == nil {
			spec.Resources.Memory = old.Resources.Memory
		}
		if spec.Resources.EphemeralStorage == nil {
			spec.Resources.EphemeralStorage = old.Resources.EphemeralStorage
		}
	}
	if spec.Filesystem == nil {
		spec.Filesystem = old.Filesystem
	} else if old.Filesystem != nil && len(spec.Filesystem.WritablePaths) == 0 {
		spec.Filesystem.WritablePaths = old.Filesystem.WritablePaths
	}
	if spec.SecurityContext != nil && old.SecurityContext != nil && spec.SecurityContext.SeccompProfile == nil {
		spec.SecurityContext.SeccompProfile = old.SecurityContext.SeccompProfile
	}
}
