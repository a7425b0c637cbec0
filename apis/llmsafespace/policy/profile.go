// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Apply fills in what a sandbox leaves to its profile, which may be nil, and
// then what nobody has set.
func Apply(profile *v1.SandboxProfileSpec, spec *v1.SandboxSpec) {
	if profile != nil {
		if spec.SecurityLevel == "" {
			spec.SecurityLevel = profile.SecurityLevel
		}
		spec.Resources = fill(spec.Resources, profile.ResourceDefaults)
		if files := profile.FilesystemConfig; files != nil && len(files.WritablePaths) > 0 {
			if spec.Filesystem == nil {
				spec.Filesystem = &v1.Filesystem{}
			}
			if len(spec.Filesystem.WritablePaths) == 0 {
				spec.Filesystem.WritablePaths = slices.Clone(files.WritablePaths)
			}
		}
		if profile.SeccompProfile != "" {
			if spec.SecurityContext == nil {
				spec.SecurityContext = &v1.SecurityContext{}
			}
			if spec.SecurityContext.SeccompProfile == nil {
				spec.SecurityContext.SeccompProfile = seccompOf(profile)
			}
		}
	}
	v1.CompleteSandbox(spec)
}

// ApplyPool is Apply for a pool.
func ApplyPool(profile *v1.SandboxProfileSpec, spec *v1.WarmPoolSpec) {
	if profile != nil {
		if spec.SecurityLevel == "" {
			spec.SecurityLevel = profile.SecurityLevel
		}
		spec.Resources = fill(spec.Resources, profile.ResourceDefaults)
	}
	v1.CompleteWarmPool(spec)
}

// fill sets in a copy of to what is missing there.
func fill(to, from *v1.Resources) *v1.Resources {
	if from == nil {
		return to
	}
	filled := &v1.Resources{}
	if to != nil {
		filled = to.DeepCopy()
	}
	from = from.DeepCopy()
	if filled.CPU == nil {
		filled.CPU = from.CPU
	}
	if filled.Memory == nil {
		filled.Memory = from.Memory
	}
	if filled.EphemeralStorage == nil {
		filled.EphemeralStorage = from.EphemeralStorage
	}
	return filled
}

func seccompOf(profile *v1.SandboxProfileSpec) *v1.SeccompProfile {
	return &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: profile.SeccompProfile}
}

// SeccompByProfile reports whether the sandbox has the seccomp profile that its
// profile names, which need not be one that it could have asked for itself.
func SeccompByProfile(profile *v1.SandboxProfileSpec, spec *v1.SandboxSpec) bool {
	return profile != nil && profile.SeccompProfile != "" && spec.SecurityContext != nil && spec.SecurityContext.SeccompProfile != nil &&
		*spec.SecurityContext.SeccompProfile == *seccompOf(profile)
}

// HeldByProfile tells where a sandbox, to which the profile was applied, loosens
// it. A nil profile is none.
func HeldByProfile(profile *v1.SandboxProfileSpec, spec *v1.SandboxSpec, path *field.Path) field.ErrorList {
	context := path.Child("securityContext", "seccompProfile")
	filter := spec.SecurityContext.SeccompProfile
	if profile == nil {
		if filter != nil && filter.Type == v1.SeccompLocalhost {
			return field.ErrorList{field.Forbidden(context, "a seccomp profile of the node is for sandboxes whose SandboxProfile names it: set profileRef, or leave this out")}
		}
		return nil
	}
	errs := heldLevel(profile.SecurityLevel, spec.SecurityLevel, path.Child("securityLevel"))
	switch {
	case profile.SeccompProfile != "" && !SeccompByProfile(profile, spec):
		errs = append(errs, field.Forbidden(context, fmt.Sprintf("the profile has the seccomp profile %q: leave this out", profile.SeccompProfile)))
	case profile.SeccompProfile == "" && filter != nil && filter.Type == v1.SeccompLocalhost:
		errs = append(errs, field.Forbidden(context, "the profile names no seccomp profile of the node: leave this out"))
	}
	errs = append(errs, heldNetwork(profile.NetworkPolicies, spec.NetworkAccess, path.Child("networkAccess"))...)
	return append(errs, heldFilesystem(profile.FilesystemConfig, spec.Filesystem, path.Child("filesystem"))...)
}

// HeldPool is HeldByProfile for a pool.
func HeldPool(profile *v1.SandboxProfileSpec, spec *v1.WarmPoolSpec, path *field.Path) field.ErrorList {
	if profile == nil {
		return nil
	}
	errs := heldLevel(profile.SecurityLevel, spec.SecurityLevel, path.Child("securityLevel"))
	return append(errs, heldNetwork(profile.NetworkPolicies, spec.NetworkAccess, path.Child("networkAccess"))...)
}

// strictness orders the levels: custom may ask for more than the others give.
var strictness = []v1.SecurityLevel{v1.SecurityCustom, v1.SecurityStandard, v1.SecurityHigh}

func heldLevel(least, level v1.SecurityLevel, path *field.Path) field.ErrorList {
	if slices.Index(strictness, level) >= slices.Index(strictness, least) {
		return nil
	}
	return field.ErrorList{field.Forbidden(path, fmt.Sprintf("%s loosens the profile, which wants at least %s", level, least))}
}

func heldNetwork(policies []v1.ProfileNetworkPolicy, access *v1.NetworkAccess, path *field.Path) field.ErrorList {
	if access == nil {
		return nil
	}
	var errs field.ErrorList
	var open []v1.NetworkRule
	ingress := false
	for _, policy := range policies {
		switch policy.Type {
		case v1.PolicyEgress:
			open = append(open, policy.Rules...)
		case v1.PolicyIngress:
			ingress = true
		}
	}
	for i := range access.Egress {
		if why := beyond(&access.Egress[i], open); why != "" {
			errs = append(errs, field.Forbidden(path.Child("egress").Index(i), why+" is not opened by the profile"))
		}
	}
	if access.Ingress && !ingress {
		errs = append(errs, field.Forbidden(path.Child("ingress"), "is not opened by the profile"))
	}
	return errs
}

// beyond names what a rule opens and none of the others does. A range that two
// of them cover only together is beyond them.
func beyond(rule *v1.NetworkRule, open []v1.NetworkRule) string {
	for _, port := range ports(rule) {
		if !slices.ContainsFunc(open, func(by v1.NetworkRule) bool {
			return contains(by.CIDR, rule.CIDR) && slices.Contains(ports(&by), port)
		}) {
			return fmt.Sprintf("%s %s %d", rule.CIDR, port.Protocol, port.Port)
		}
	}
	return ""
}

const defaultPort = 443

// ports are those of a rule, with the default.
func ports(rule *v1.NetworkRule) []v1.NetworkPort {
	if len(rule.Ports) == 0 {
		return []v1.NetworkPort{{Port: defaultPort, Protocol: corev1.ProtocolTCP}}
	}
	return rule.Ports
}

func contains(outer, inner string) bool {
	o, err := netip.ParsePrefix(outer)
	if err != nil {
		return false
	}
	i, err := netip.ParsePrefix(inner)
	return err == nil && o.Bits() <= i.Bits() && o.Overlaps(i)
}

func heldFilesystem(config *v1.ProfileFilesystem, filesystem *v1.Filesystem, path *field.Path) field.ErrorList {
	if config == nil {
		return nil
	}
	var errs field.ErrorList
	if !ptr.Deref(filesystem.ReadOnlyRoot, true) && len(config.WritablePaths)+len(config.ReadOnlyPaths) > 0 {
		errs = append(errs, field.Forbidden(path.Child("readOnlyRoot"), "false loosens the profile, which says what may be written to"))
	}
	for i, p := range filesystem.WritablePaths {
		at := path.Child("writablePaths").Index(i)
		if len(config.WritablePaths) > 0 && !slices.ContainsFunc(config.WritablePaths, func(dir string) bool { return within(p, dir) }) {
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("%s is not within what the profile lets be written to: %s", p, strings.Join(config.WritablePaths, ", "))))
		}
		for _, readOnly := range config.ReadOnlyPaths {
			if within(p, readOnly) || within(readOnly, p) {
				errs = append(errs, field.Forbidden(at, fmt.Sprintf("%s overlaps %s, which is read-only by the profile", p, readOnly)))
			}
		}
	}
	return errs
}

// within reports whether a clean path is dir or below it.
func within(p, dir string) bool { return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/") }

// HeldTogether tells what of an environment the profile does not take.
func HeldTogether(profile *v1.SandboxProfileSpec, environment *v1.RuntimeEnvironment, path *field.Path) field.ErrorList {
	if profile == nil {
		return nil
	}
	if profile.Language != environment.Spec.Language {
		return field.ErrorList{field.Invalid(path, environment.Name, fmt.Sprintf("the RuntimeEnvironment is for %s, the profile for %s", environment.Spec.Language, profile.Language))}
	}
	var missing []string
	for _, wanted := range profile.PreInstalledPackages {
		if !slices.ContainsFunc(environment.Spec.PreInstalledPackages, func(has string) bool { return satisfies(has, wanted) }) {
			missing = append(missing, wanted)
		}
	}
	if len(missing) > 0 {
		return field.ErrorList{field.Invalid(path, environment.Name, "the profile wants packages that the RuntimeEnvironment does not have: "+strings.Join(missing, ", "))}
	}
	return nil
}

// satisfies compares packages by their names, and by their versions where one
// is wanted: then it has to be the same in letters.
func satisfies(has, wanted string) bool {
	return has == wanted || wanted == packageName(wanted) && packageName(has) == wanted
}

// packageName is a package without extras and version. A scope begins with '@'.
func packageName(name string) string {
	if i := strings.IndexAny(name[min(1, len(name)):], "[<>=~!@"); i >= 0 {
		return name[:i+1]
	}
	return name
}
