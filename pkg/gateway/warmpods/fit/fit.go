// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fit

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Mismatch is a field that a sandbox asks otherwise than a pod was made, and
// that cannot be applied to a running pod.
type Mismatch struct {
	Field string
	// Detail says what the sandbox asks and what the pod has.
	Detail string
}

func (m Mismatch) String() string { return m.Field + ": " + m.Detail }

// Fit tells what keeps a sandbox from a pod of the template; nothing does if it
// is empty. The sandbox has been completed: by its profile and by the defaults.
// Runtime environment and security level are not looked at here: who asks for
// another one asks for another pool.
func Fit(sandbox *v1.Sandbox, t *Template) []Mismatch {
	var found []Mismatch
	differs := func(field, format string, args ...any) {
		found = append(found, Mismatch{field, fmt.Sprintf(format, args...)})
	}
	spec := &sandbox.Spec
	asked := orEmpty(spec.Resources)
	for _, r := range []struct {
		name       string
		asked, has *resource.Quantity
	}{
		{"cpu", asked.CPU, t.Resources.CPU},
		{"memory", asked.Memory, t.Resources.Memory},
		{"ephemeralStorage", asked.EphemeralStorage, t.Resources.EphemeralStorage},
	} {
		if r.asked != nil && (r.has == nil || r.has.Cmp(*r.asked) < 0) {
			has := "none is known"
			if r.has != nil {
				has = r.has.String()
			}
			differs("spec.resources."+r.name, "%s is asked and the pod has %s", r.asked, has)
		}
	}
	if a, b := reference(spec.ProfileRef, sandbox.Namespace), reference(t.ProfileRef, ""); a != b {
		differs("spec.profileRef", "%s is asked and the pod was made with %s", orNone(a), orNone(b))
	}
	if spec.Storage != nil && spec.Storage.Persistent {
		differs("spec.storage.persistent", "a volume cannot be added to a running pod")
	}
	fitFilesystem(orEmpty(spec.Filesystem), &t.Filesystem, differs)
	fitSecurityContext(orEmpty(spec.SecurityContext), &t.SecurityContext, differs)
	if !sameNetwork(spec.NetworkAccess, t.NetworkAccess) {
		differs("spec.networkAccess", "the pod's network is open to %s", describeNetwork(t.NetworkAccess))
	}
	return found
}

func fitFilesystem(asked, has *v1.Filesystem, differs func(field, format string, args ...any)) {
	if a, b := ptr.Deref(asked.ReadOnlyRoot, true), ptr.Deref(has.ReadOnlyRoot, true); a != b {
		differs("spec.filesystem.readOnlyRoot", "%t is asked and the pod has %t", a, b)
	}
	if !sets.New(asked.WritablePaths...).Equal(sets.New(has.WritablePaths...)) {
		differs("spec.filesystem.writablePaths", "%s are asked and the pod has %s", orNone(strings.Join(asked.WritablePaths, ", ")), orNone(strings.Join(has.WritablePaths, ", ")))
	}
}

// The ids of the defaults of SecurityContext.
const defaultID = 1000

func fitSecurityContext(asked, has *v1.SecurityContext, differs func(field, format string, args ...any)) {
	for _, id := range []struct {
		name       string
		asked, has *int64
	}{
		{"runAsUser", asked.RunAsUser, has.RunAsUser},
		{"runAsGroup", asked.RunAsGroup, has.RunAsGroup},
	} {
		if a, b := ptr.Deref(id.asked, defaultID), ptr.Deref(id.has, defaultID); a != b {
			differs("spec.securityContext."+id.name, "%d is asked and the pod runs as %d", a, b)
		}
	}
	if a, b := seccomp(asked.SeccompProfile), seccomp(has.SeccompProfile); a != b {
		differs("spec.securityContext.seccompProfile", "%s is asked and the pod has %s", a, b)
	}
}

func seccomp(p *v1.SeccompProfile) string {
	if p == nil {
		return string(v1.SeccompRuntimeDefault)
	}
	return strings.TrimSuffix(string(p.Type)+" "+p.LocalhostProfile, " ")
}

// reference is what a reference from an object of the namespace names.
func reference(ref *v1.ObjectReference, namespace string) string {
	if ref == nil {
		return ""
	}
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return namespace + "/" + ref.Name
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// sameNetwork compares what two accesses open. The order of rules and ports
// means nothing, and an access that opens nothing is none.
func sameNetwork(a, b *v1.NetworkAccess) bool {
	return orEmpty(a).Ingress == orEmpty(b).Ingress && sets.New(openings(a)...).Equal(sets.New(openings(b)...))
}

// openings lists what an access lets out, a port of a range each.
func openings(access *v1.NetworkAccess) []string {
	var list []string
	for _, rule := range orEmpty(access).Egress {
		if len(rule.Ports) == 0 {
			list = append(list, rule.CIDR+" TCP 443")
		}
		for _, port := range rule.Ports {
			protocol := string(port.Protocol)
			if protocol == "" {
				protocol = "TCP"
			}
			list = append(list, fmt.Sprintf("%s %s %d", rule.CIDR, protocol, port.Port))
		}
	}
	return list
}

// maxOpenings bounds what is said of a network.
const maxOpenings = 4

func describeNetwork(access *v1.NetworkAccess) string {
	list := openings(access)
	slices.Sort(list)
	if len(list) > maxOpenings {
		list = append(list[:maxOpenings], fmt.Sprintf("%d more", len(list)-maxOpenings))
	}
	if orEmpty(access).Ingress {
		list = append(list, "its namespace")
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}
