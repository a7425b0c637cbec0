// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// SandboxProfile validates a new profile.
func SandboxProfile(profile *v1.SandboxProfile, limits Limits) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&profile.ObjectMeta, true, check.Name, field.NewPath("metadata"))
	return append(errs, profileSpec(&profile.Spec, limits, field.NewPath("spec"))...)
}

// SandboxProfileUpdate validates a changed profile; it counts for sandboxes
// that are made later.
func SandboxProfileUpdate(profile, old *v1.SandboxProfile, limits Limits) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&profile.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, profileSpec(&profile.Spec, limits, field.NewPath("spec"))...)
}

func profileSpec(spec *v1.SandboxProfileSpec, limits Limits, path *field.Path) field.ErrorList {
	errs := language(spec.Language, path.Child("language"))
	errs = append(errs, check.OneOf(spec.SecurityLevel, path.Child("securityLevel"), levels...)...)
	if spec.SeccompProfile != "" {
		errs = append(errs, seccompFile(spec.SeccompProfile, path.Child("seccompProfile"))...)
	}
	for i, policy := range spec.NetworkPolicies {
		policyPath := path.Child("networkPolicies").Index(i)
		errs = append(errs, check.OneOf(policy.Type, policyPath.Child("type"), v1.PolicyEgress, v1.PolicyIngress)...)
		if policy.Type == v1.PolicyIngress && len(policy.Rules) > 0 {
			errs = append(errs, field.Forbidden(policyPath.Child("rules"), "ingress is from the sandbox's own namespace or not at all: leave the rules out"))
			continue
		}
		errs = append(errs, rules(policy.Rules, policyPath.Child("rules"))...)
	}
	errs = append(errs, packages(spec.PreInstalledPackages, path.Child("preInstalledPackages"))...)
	errs = append(errs, resources(spec.ResourceDefaults, limits, path.Child("resourceDefaults"))...)
	return append(errs, profileFilesystem(spec.FilesystemConfig, path.Child("filesystemConfig"))...)
}

// profileFilesystem refuses paths of which one kind lies within the other:
// which of the two holds there would be a matter of order.
func profileFilesystem(config *v1.ProfileFilesystem, path *field.Path) field.ErrorList {
	if config == nil {
		return nil
	}
	errs := paths(config.WritablePaths, writable, path.Child("writablePaths"))
	errs = append(errs, paths(config.ReadOnlyPaths, mountable, path.Child("readOnlyPaths"))...)
	for i, readOnly := range config.ReadOnlyPaths {
		for _, writable := range config.WritablePaths {
			if within(readOnly, writable) || within(writable, readOnly) {
				errs = append(errs, field.Invalid(path.Child("readOnlyPaths").Index(i), readOnly, fmt.Sprintf("overlaps the writable path %s: keep them apart", writable)))
			}
		}
	}
	return errs
}
