// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// WarmPool validates a new pool, completed by its profile and the defaults.
func WarmPool(pool *v1.WarmPool, limits Limits) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&pool.ObjectMeta, true, check.LabelledName, field.NewPath("metadata"))
	return append(errs, warmPoolSpec(&pool.Spec, limits, field.NewPath("spec"))...)
}

// WarmPoolUpdate validates a changed pool. Everything may change: unused pods
// are replaced.
func WarmPoolUpdate(pool, old *v1.WarmPool, limits Limits) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&pool.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, warmPoolSpec(&pool.Spec, limits, field.NewPath("spec"))...)
}

// WarmPoolStatusUpdate validates what the controller observed.
func WarmPoolStatusUpdate(pool, old *v1.WarmPool) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&pool.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path, status := field.NewPath("status"), &pool.Status
	errs = append(errs, check.NotNegative(status.AvailablePods, path.Child("availablePods"))...)
	errs = append(errs, check.NotNegative(status.AssignedPods, path.Child("assignedPods"))...)
	errs = append(errs, check.NotNegative(status.PendingPods, path.Child("pendingPods"))...)
	errs = append(errs, check.Between(status.HitRate, 0, 100, path.Child("hitRate"))...)
	return append(errs, metav1validation.ValidateConditions(status.Conditions, path.Child("conditions"))...)
}

func warmPoolSpec(spec *v1.WarmPoolSpec, limits Limits, path *field.Path) field.ErrorList {
	errs := runtimeName(spec.Runtime, path.Child("runtime"))
	sizes := check.Between(&spec.MinSize, 0, maxPool, path.Child("minSize"))
	sizes = append(sizes, check.Between(&spec.MaxSize, 0, maxPool, path.Child("maxSize"))...)
	if len(sizes) == 0 && spec.MaxSize > 0 && spec.MinSize > spec.MaxSize {
		sizes = field.ErrorList{field.Invalid(path.Child("minSize"), spec.MinSize, "must not be above maxSize")}
	}
	errs = append(errs, sizes...)
	errs = append(errs, check.OneOf(spec.SecurityLevel, path.Child("securityLevel"), levels...)...)
	errs = append(errs, check.Between(spec.TTL, 0, maxTTL, path.Child("ttl"))...)
	errs = append(errs, resources(spec.Resources, limits, path.Child("resources"))...)
	errs = append(errs, reference(spec.ProfileRef, "a SandboxProfile", path.Child("profileRef"))...)
	if spec.NetworkAccess != nil {
		errs = append(errs, rules(spec.NetworkAccess.Egress, path.Child("networkAccess", "egress"))...)
	}
	errs = append(errs, packages(spec.PreloadPackages, path.Child("preloadPackages"))...)
	errs = append(errs, scripts(spec.PreloadScripts, path.Child("preloadScripts"))...)
	if scaling := spec.AutoScaling; scaling != nil {
		scalingPath := path.Child("autoScaling")
		errs = append(errs, check.Between(scaling.TargetUtilization, 1, 100, scalingPath.Child("targetUtilization"))...)
		errs = append(errs, check.Between(scaling.ScaleDownDelay, 0, maxDelay, scalingPath.Child("scaleDownDelay"))...)
	}
	return append(errs, unique(spec.AllowedNamespaces, maxNamespaces, namespace, path.Child("allowedNamespaces"))...)
}

func scripts(scripts []v1.PreloadScript, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(scripts) > maxScripts {
		errs = append(errs, field.TooMany(path, len(scripts), maxScripts))
	}
	seen := map[string]bool{}
	for i, script := range scripts {
		namePath, contentPath := path.Index(i).Child("name"), path.Index(i).Child("content")
		switch {
		case script.Name == "":
			errs = append(errs, field.Required(namePath, "a name for conditions and logs"))
		case seen[script.Name]:
			errs = append(errs, field.Duplicate(namePath, script.Name))
		default:
			for _, problem := range validation.IsDNS1123Label(script.Name) {
				errs = append(errs, field.Invalid(namePath, field.OmitValueType{}, problem))
			}
		}
		seen[script.Name] = true
		if script.Content == "" {
			errs = append(errs, field.Required(contentPath, "the script, in the runtime's language"))
		}
		errs = append(errs, check.Text(script.Content, maxScript, contentPath)...)
	}
	return errs
}

// WarmPod validates a new warm pod.
func WarmPod(pod *v1.WarmPod) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&pod.ObjectMeta, true, check.LabelledName, field.NewPath("metadata"))
	path := field.NewPath("spec", "poolRef")
	errs = append(errs, reference(&pod.Spec.PoolRef, "the WarmPool", path)...)
	if ns := pod.Spec.PoolRef.Namespace; ns != "" && ns != pod.Namespace {
		errs = append(errs, field.Invalid(path.Child("namespace"), field.OmitValueType{}, "must be that of the pod: pods stay in their pool's namespace"))
	}
	return errs
}

// WarmPodUpdate validates a changed warm pod: it stays in its pool.
func WarmPodUpdate(pod, old *v1.WarmPod) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	if !apiequality.Semantic.DeepEqual(pod.Spec.PoolRef, old.Spec.PoolRef) {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "poolRef"), "cannot change: pods stay in their pool"))
	}
	return errs
}

// WarmPodStatusUpdate keeps the law that a pod serves one sandbox, once.
func WarmPodStatusUpdate(pod, old *v1.WarmPod) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path, status, before := field.NewPath("status"), &pod.Status, &old.Status
	errs = append(errs, check.OneOf(status.Phase, path.Child("phase"), v1.WarmPodPending, v1.WarmPodReady, v1.WarmPodAssigned, v1.WarmPodTerminating)...)
	switch {
	case before.Phase == v1.WarmPodAssigned && status.Phase != v1.WarmPodAssigned && status.Phase != v1.WarmPodTerminating:
		errs = append(errs, field.Forbidden(path.Child("phase"), "cannot go back: a pod serves one sandbox, once"))
	case before.Phase == v1.WarmPodTerminating && status.Phase != v1.WarmPodTerminating:
		errs = append(errs, field.Forbidden(path.Child("phase"), "cannot go back: the pod is being removed"))
	}
	if before.AssignedToUID != "" && (status.AssignedToUID != before.AssignedToUID || status.AssignedTo != before.AssignedTo) {
		errs = append(errs, field.Forbidden(path.Child("assignedTo"), "cannot change: a pod serves one sandbox, once"))
	}
	if status.Phase == v1.WarmPodAssigned && (status.AssignedTo == "" || status.AssignedToUID == "") {
		errs = append(errs, field.Required(path.Child("assignedTo"), "the sandbox that is served, with its uid in assignedToUID"))
	}
	return errs
}
