// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Resolve returns the environment that serves a runtime: the one of that name,
// or one of language:version, rather by its own version than by one that it
// serves as well, rather one that is available, and else the first by name. It
// returns nil if there is none.
func Resolve(environments []v1.RuntimeEnvironment, runtime string) *v1.RuntimeEnvironment {
	language, version, versioned := strings.Cut(runtime, ":")
	var best *v1.RuntimeEnvironment
	for i := range environments {
		e := &environments[i]
		switch {
		case !versioned && e.Name != runtime:
		case versioned && (e.Spec.Language != language || !serves(e, version)):
		case best == nil || better(e, best, version):
			best = e
		}
	}
	return best
}

func serves(e *v1.RuntimeEnvironment, version string) bool {
	return e.Spec.Version == version || slices.Contains(e.Spec.ServesVersions, version)
}

func better(a, b *v1.RuntimeEnvironment, version string) bool {
	if own := a.Spec.Version == version; own != (b.Spec.Version == version) {
		return own
	}
	if a.Status.Available != b.Status.Available {
		return a.Status.Available
	}
	return a.Name < b.Name
}

// maxListed bounds what an error lists.
const maxListed = 20

// NotServed says that no environment serves a runtime, and what there is.
func NotServed(environments []v1.RuntimeEnvironment, runtime string, path *field.Path) *field.Error {
	var there []string
	for i := range environments {
		there = append(there, describe(&environments[i]))
	}
	slices.SortFunc(there, cmp.Compare[string])
	if len(there) == 0 {
		return field.Invalid(path, runtime, "no RuntimeEnvironment serves it: there is none at all, an administrator has to make one")
	}
	if more := len(there) - maxListed; more > 0 {
		there = append(there[:maxListed], fmt.Sprintf("%d more", more))
	}
	return field.Invalid(path, runtime, "no RuntimeEnvironment serves it; there are: "+strings.Join(there, "; "))
}

// describe is what a sandbox may ask of an environment.
func describe(e *v1.RuntimeEnvironment) string {
	text := e.Name
	if e.Spec.Version != "" {
		text += " (" + e.Spec.Language + ":" + e.Spec.Version
		for _, version := range e.Spec.ServesVersions {
			text += ", " + e.Spec.Language + ":" + version
		}
		text += ")"
	}
	return text
}

// HeldByRuntime tells what an environment does not serve of what is asked.
func HeldByRuntime(environment *v1.RuntimeEnvironment, resources *v1.Resources, path *field.Path) field.ErrorList {
	needs := environment.Spec.ResourceRequirements
	if needs == nil || resources == nil {
		return nil
	}
	var errs field.ErrorList
	if needs.MinCPU != nil && resources.CPU != nil && resources.CPU.Cmp(*needs.MinCPU) < 0 {
		errs = append(errs, field.Invalid(path.Child("cpu"), resources.CPU.String(), fmt.Sprintf("RuntimeEnvironment %q needs at least %s", environment.Name, needs.MinCPU)))
	}
	if needs.MinMemory != nil && resources.Memory != nil && resources.Memory.Cmp(*needs.MinMemory) < 0 {
		errs = append(errs, field.Invalid(path.Child("memory"), resources.Memory.String(), fmt.Sprintf("RuntimeEnvironment %q needs at least %s", environment.Name, needs.MinMemory)))
	}
	return errs
}

// featureGVisor is the security feature of images that run under gVisor.
const featureGVisor = "gvisor"

// Warnings tell what an environment serves, but not well.
func Warnings(environment *v1.RuntimeEnvironment, level v1.SecurityLevel, resources *v1.Resources) []string {
	var warnings []string
	say := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if status := &environment.Status; status.LastValidated != nil && !status.Available {
		say("spec.runtime: RuntimeEnvironment %q is not available: %s", environment.Name, cmp.Or(status.Message, "it says nothing more"))
	}
	features := environment.Spec.SecurityFeatures
	if level == v1.SecurityHigh && len(features) > 0 && !slices.Contains(features, featureGVisor) {
		say("spec.securityLevel: RuntimeEnvironment %q is not known to work with %s, which the level high runs in", environment.Name, featureGVisor)
	}
	if wants := environment.Spec.ResourceRequirements; wants != nil && resources != nil {
		if wants.RecommendedCPU != nil && resources.CPU != nil && resources.CPU.Cmp(*wants.RecommendedCPU) < 0 {
			say("spec.resources.cpu: RuntimeEnvironment %q recommends %s", environment.Name, wants.RecommendedCPU)
		}
		if wants.RecommendedMemory != nil && resources.Memory != nil && resources.Memory.Cmp(*wants.RecommendedMemory) < 0 {
			say("spec.resources.memory: RuntimeEnvironment %q recommends %s", environment.Name, wants.RecommendedMemory)
		}
	}
	return warnings
}
