// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// RuntimeEnvironment validates a new runtime environment.
func RuntimeEnvironment(environment *v1.RuntimeEnvironment) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&environment.ObjectMeta, false, check.LabelledName, field.NewPath("metadata"))
	return append(errs, runtimeSpec(&environment.Spec, field.NewPath("spec"))...)
}

// RuntimeEnvironmentUpdate validates a changed one; it counts for sandboxes
// that are made later.
func RuntimeEnvironmentUpdate(environment, old *v1.RuntimeEnvironment) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&environment.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, runtimeSpec(&environment.Spec, field.NewPath("spec"))...)
}

// RuntimeEnvironmentStatusUpdate validates what the controller observed.
func RuntimeEnvironmentStatusUpdate(environment, old *v1.RuntimeEnvironment) field.ErrorList {
	return apivalidation.ValidateObjectMetaUpdate(&environment.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
}

func runtimeSpec(spec *v1.RuntimeEnvironmentSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.Image == "" {
		errs = append(errs, field.Required(path.Child("image"), "the image that pods run"))
	}
	errs = append(errs, check.Image(spec.Image, path.Child("image"))...)
	errs = append(errs, language(spec.Language, path.Child("language"))...)
	if spec.Version != "" {
		errs = append(errs, version(spec.Version, path.Child("version"))...)
	} else if len(spec.ServesVersions) > 0 {
		errs = append(errs, field.Required(path.Child("version"), "the version that really runs, where others are served with it"))
	}
	errs = append(errs, unique(spec.ServesVersions, 64, version, path.Child("servesVersions"))...)
	errs = append(errs, unique(spec.Tags, 64, word, path.Child("tags"))...)
	errs = append(errs, packages(spec.PreInstalledPackages, path.Child("preInstalledPackages"))...)
	if spec.PackageManager != "" {
		errs = append(errs, word(spec.PackageManager, path.Child("packageManager"))...)
	}
	errs = append(errs, unique(spec.SecurityFeatures, 64, word, path.Child("securityFeatures"))...)
	if needs := spec.ResourceRequirements; needs != nil {
		needsPath := path.Child("resourceRequirements")
		none := resource.Quantity{}
		errs = append(errs, quantity(needs.MinCPU, none, none, needsPath.Child("minCpu"))...)
		errs = append(errs, bytes(needs.MinMemory, none, none, needsPath.Child("minMemory"))...)
		errs = append(errs, quantity(needs.RecommendedCPU, least(needs.MinCPU), none, needsPath.Child("recommendedCpu"))...)
		errs = append(errs, bytes(needs.RecommendedMemory, least(needs.MinMemory), none, needsPath.Child("recommendedMemory"))...)
	}
	return errs
}

func least(q *resource.Quantity) resource.Quantity {
	if q == nil {
		return resource.Quantity{}
	}
	return *q
}
