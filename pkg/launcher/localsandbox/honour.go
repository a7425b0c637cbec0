// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"fmt"
	"strings"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// refuse says why a pod will not be made, and nil if it will.
func refuse(spec launcher.PodSpec) *launcher.Refusal {
	if spec.SecurityLevel == llmsafespacev1.SecurityHigh {
		return notSupported("securityLevel high needs a kernel of the sandbox's own, which the local launcher does not give: use standard, or a cluster with the RuntimeClass of gVisor")
	}
	if profile := spec.SecurityContext.SeccompProfile; profile != nil && profile.Type == llmsafespacev1.SeccompLocalhost {
		return notSupported(fmt.Sprintf("seccomp profile %q is a file of a node of a cluster: the local launcher has one filter for all", profile.LocalhostProfile))
	}
	for _, path := range spec.Filesystem.WritablePaths {
		if err := bubblewrap.CheckWritable(path); err != nil {
			return notSupported(err.Error() + ": that is read-only in local sandboxes")
		}
	}
	if spec.Storage != nil && spec.Storage.Persistent {
		return notSupported("storage.persistent needs a volume of bounded size, which the local launcher cannot make: ephemeralStorage is what /workspace and /tmp hold")
	}
	return nil
}

func notSupported(message string) *launcher.Refusal {
	return &launcher.Refusal{Reason: launcher.ReasonNotSupported, Message: message}
}

// shortfalls are what a pod will lack that runs all the same.
func shortfalls(network *llmsafespacev1.NetworkAccess, filesystem *llmsafespacev1.Filesystem) []string {
	var notes []string
	if network != nil && (len(network.Egress) > 0 || network.Ingress) {
		notes = append(notes, "networkAccess has no effect: local sandboxes have no network")
	}
	if filesystem != nil && filesystem.ReadOnlyRoot != nil && !*filesystem.ReadOnlyRoot {
		notes = append(notes, "filesystem.readOnlyRoot=false has no effect: the system of local sandboxes is this machine's, and always read-only")
	}
	return notes
}

// Warnings are what the creator of a sandbox is told at once.
func Warnings(spec *llmsafespacev1.SandboxSpec) []string {
	pod := launcher.PodSpec{SecurityLevel: spec.SecurityLevel, Storage: spec.Storage}
	if spec.SecurityContext != nil {
		pod.SecurityContext = *spec.SecurityContext
	}
	if spec.Filesystem != nil {
		pod.Filesystem = *spec.Filesystem
	}
	var warnings []string
	if refusal := refuse(pod); refusal != nil {
		warnings = append(warnings, "the sandbox stays Pending: "+refusal.Message)
	}
	return append(warnings, shortfalls(spec.NetworkAccess, spec.Filesystem)...)
}

// unlimited says which limits nobody enforces from outside.
func unlimited(enforced []string) []string {
	missing := []string{}
	for _, limit := range []string{"cpu", "memory", "pids"} {
		found := false
		for _, e := range enforced {
			found = found || e == limit
		}
		if !found {
			missing = append(missing, limit)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no cgroup limits %s, since this process may not make any: rlimits and sandboxd's guard hold memory and pids, nothing holds cpu", strings.Join(missing, ", "))}
}
