// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"path"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Sandbox validates a new sandbox, completed by its profile and the defaults.
func Sandbox(sandbox *v1.Sandbox, limits Limits) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&sandbox.ObjectMeta, true, check.LabelledName, field.NewPath("metadata"))
	return append(errs, sandboxSpec(&sandbox.Spec, limits, field.NewPath("spec"))...)
}

// SandboxUpdate validates a changed sandbox: its times may change, what it is
// may not.
func SandboxUpdate(sandbox, old *v1.Sandbox, limits Limits) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&sandbox.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	spec := field.NewPath("spec")
	errs = append(errs, sandboxTimes(&sandbox.Spec, spec)...)
	changed := sandbox.Spec.DeepCopy()
	changed.Timeout, changed.IdleTimeout, changed.TTLSecondsAfterFinished = old.Spec.Timeout, old.Spec.IdleTimeout, old.Spec.TTLSecondsAfterFinished
	return append(errs, check.Unchanged(changed, &old.Spec, apiequality.Semantic.DeepEqual, spec,
		"cannot change, only timeout, idleTimeout and ttlSecondsAfterFinished can: create another sandbox")...)
}

// phases are in the order of a sandbox's life; what is not in here ends it.
var phases = []v1.SandboxPhase{v1.SandboxPending, v1.SandboxCreating, v1.SandboxRunning, v1.SandboxTerminating}

// SandboxStatusUpdate validates what was observed. Life goes one way, and a
// terminal phase is never left.
func SandboxStatusUpdate(sandbox, old *v1.Sandbox) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&sandbox.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	statusPath, status := field.NewPath("status"), &sandbox.Status
	errs = append(errs, check.OneOf(status.Phase, statusPath.Child("phase"), v1.SandboxPending, v1.SandboxCreating, v1.SandboxRunning,
		v1.SandboxTerminating, v1.SandboxTerminated, v1.SandboxFailed, v1.SandboxLost)...)
	errs = append(errs, metav1validation.ValidateConditions(status.Conditions, statusPath.Child("conditions"))...)
	if before := old.Status.Phase; before.Terminal() && status.Phase != before {
		errs = append(errs, field.Forbidden(statusPath.Child("phase"), "cannot change: the sandbox is "+string(before)))
	}
	if before, now := slices.Index(phases, old.Status.Phase), slices.Index(phases, status.Phase); now >= 0 && now < before {
		errs = append(errs, field.Forbidden(statusPath.Child("phase"), "cannot go back: the sandbox is "+string(old.Status.Phase)))
	}
	if old.Status.StartTime != nil && !old.Status.StartTime.Equal(status.StartTime) {
		errs = append(errs, field.Forbidden(statusPath.Child("startTime"), "cannot change once it is set"))
	}
	if status.Phase.Terminal() && status.CompletionTime == nil {
		errs = append(errs, field.Required(statusPath.Child("completionTime"), "a sandbox that is over says since when"))
	}
	// One sandbox, one pod, for life.
	for _, once := range []struct{ name, before, after string }{
		{"createdBy", old.Status.CreatedBy, status.CreatedBy},
		{"podName", old.Status.PodName, status.PodName},
		{"podNamespace", old.Status.PodNamespace, status.PodNamespace},
	} {
		if once.before != "" && once.after != once.before {
			errs = append(errs, field.Forbidden(statusPath.Child(once.name), "cannot change once it is set"))
		}
	}
	return errs
}

func sandboxSpec(spec *v1.SandboxSpec, limits Limits, path *field.Path) field.ErrorList {
	errs := runtimeName(spec.Runtime, path.Child("runtime"))
	errs = append(errs, check.OneOf(spec.SecurityLevel, path.Child("securityLevel"), levels...)...)
	errs = append(errs, sandboxTimes(spec, path)...)
	errs = append(errs, resources(spec.Resources, limits, path.Child("resources"))...)
	errs = append(errs, env(spec.Env, path.Child("env"))...)
	if spec.NetworkAccess != nil {
		errs = append(errs, rules(spec.NetworkAccess.Egress, path.Child("networkAccess", "egress"))...)
	}
	invalid := filesystem(spec.Filesystem, spec.SecurityLevel, path.Child("filesystem"))
	errs = append(errs, invalid...)
	errs = append(errs, storage(spec.Storage, limits, path.Child("storage"))...)
	if len(invalid) == 0 {
		errs = append(errs, volume(spec.Storage, spec.Filesystem, path.Child("storage", "persistent"))...)
	}
	errs = append(errs, securityContext(spec.SecurityContext, spec.SecurityLevel, path.Child("securityContext"))...)
	errs = append(errs, check.Line(spec.User, maxUser, path.Child("user"))...)
	errs = append(errs, reference(spec.WarmPoolRef, "a WarmPool", path.Child("warmPoolRef"))...)
	if spec.WarmPoolRef != nil && !ptr.Deref(spec.UseWarmPool, true) {
		errs = append(errs, field.Forbidden(path.Child("warmPoolRef"), "has no effect while useWarmPool is false: leave out one of the two"))
	}
	return append(errs, reference(spec.ProfileRef, "a SandboxProfile", path.Child("profileRef"))...)
}

func sandboxTimes(spec *v1.SandboxSpec, path *field.Path) field.ErrorList {
	errs := check.Between(spec.Timeout, 1, maxLifetime, path.Child("timeout"))
	idle := check.Between(spec.IdleTimeout, 1, maxLifetime, path.Child("idleTimeout"))
	if len(errs)+len(idle) == 0 && spec.Timeout != nil && spec.IdleTimeout != nil && *spec.IdleTimeout > *spec.Timeout {
		idle = field.ErrorList{field.Invalid(path.Child("idleTimeout"), *spec.IdleTimeout, "has no effect above timeout: lower it or leave it out")}
	}
	errs = append(errs, idle...)
	return append(errs, check.Between(spec.TTLSecondsAfterFinished, 0, maxTTL, path.Child("ttlSecondsAfterFinished"))...)
}

func filesystem(filesystem *v1.Filesystem, level v1.SecurityLevel, path *field.Path) field.ErrorList {
	if filesystem == nil {
		return nil
	}
	errs := paths(filesystem.WritablePaths, writable, path.Child("writablePaths"))
	if !ptr.Deref(filesystem.ReadOnlyRoot, true) && level != v1.SecurityCustom {
		errs = append(errs, field.Forbidden(path.Child("readOnlyRoot"), "may be false with the securityLevel custom only: list writablePaths instead"))
	}
	return errs
}

// workspace is where a volume is mounted.
const workspace = "/workspace"

// volume wants to be written to.
func volume(storage *v1.Storage, filesystem *v1.Filesystem, path *field.Path) field.ErrorList {
	if storage == nil || !storage.Persistent || filesystem == nil || slices.Contains(filesystem.WritablePaths, workspace) {
		return nil
	}
	return field.ErrorList{field.Forbidden(path, "the volume is "+workspace+", which is not among filesystem.writablePaths: list it, or leave this out")}
}

func storage(storage *v1.Storage, limits Limits, path *field.Path) field.ErrorList {
	if storage == nil {
		return nil
	}
	if !storage.Persistent && storage.VolumeSize != nil {
		return field.ErrorList{field.Forbidden(path.Child("volumeSize"), "has no effect while persistent is false: set it to true, or leave this out")}
	}
	return bytes(storage.VolumeSize, minStorage, limits.VolumeSize, path.Child("volumeSize"))
}

// securityContext may ask for less than the level gives. Nothing ever runs as
// root or gains privileges, not even with a profile that would let it.
func securityContext(context *v1.SecurityContext, level v1.SecurityLevel, path *field.Path) field.ErrorList {
	if context == nil {
		return nil
	}
	var errs field.ErrorList
	if !ptr.Deref(context.RunAsNonRoot, true) {
		errs = append(errs, field.Forbidden(path.Child("runAsNonRoot"), "cannot be false: nothing in a sandbox runs as root"))
	}
	const maxID = 1<<31 - 1
	errs = append(errs, check.Between(context.RunAsUser, 1, maxID, path.Child("runAsUser"))...)
	errs = append(errs, check.Between(context.RunAsGroup, 1, maxID, path.Child("runAsGroup"))...)
	if context.AllowPrivilegeEscalation {
		errs = append(errs, field.Forbidden(path.Child("allowPrivilegeEscalation"), "cannot be true: nothing in a sandbox gains privileges"))
	}
	if context.AppArmorProfile != "" {
		errs = append(errs, field.Forbidden(path.Child("appArmorProfile"), "is not supported: leave it out"))
	}
	if context.SeccompProfile != nil {
		errs = append(errs, seccomp(context.SeccompProfile, level, path.Child("seccompProfile"))...)
	}
	return errs
}

func seccomp(profile *v1.SeccompProfile, level v1.SecurityLevel, path *field.Path) field.ErrorList {
	errs := check.OneOf(profile.Type, path.Child("type"), v1.SeccompRuntimeDefault, v1.SeccompLocalhost)
	localhost := profile.LocalhostProfile
	switch {
	case profile.Type != v1.SeccompLocalhost:
		if localhost != "" {
			errs = append(errs, field.Forbidden(path.Child("localhostProfile"), "is for the type Localhost: leave it out"))
		}
	case level != v1.SecurityCustom:
		errs = append(errs, field.Forbidden(path.Child("type"), "may be Localhost with the securityLevel custom only"))
	case localhost == "":
		errs = append(errs, field.Required(path.Child("localhostProfile"), "the file of the profile, below the kubelet's seccomp directory"))
	default:
		errs = append(errs, seccompFile(localhost, path.Child("localhostProfile"))...)
	}
	return errs
}

// seccompFile wants a path that stays below the kubelet's seccomp directory.
func seccompFile(file string, fldPath *field.Path) field.ErrorList {
	if errs := check.Line(file, 4096, fldPath); len(errs) > 0 {
		return errs
	}
	if path.IsAbs(file) || path.Clean(file) != file || file == "." || file == ".." || within(file, "..") {
		return field.ErrorList{field.Invalid(fldPath, file, "must be a relative path without '.' and '..', below the kubelet's seccomp directory")}
	}
	return nil
}
