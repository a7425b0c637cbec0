// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

const workspace = "/workspace"

// bubblewrapSpec says how a pod is made here. A pod's name may be longer than
// the path of a socket has room for; its UID is not, and is never used twice.
func bubblewrapSpec(spec launcher.PodSpec, uid types.UID, token string) bubblewrap.Spec {
	s := bubblewrap.Spec{
		Name: string(uid), Token: token,
		MemoryBytes: bytes(spec.Resources.Memory),
		DiskBytes:   bytes(spec.Resources.EphemeralStorage),
	}
	if cpu := spec.Resources.CPU; cpu != nil {
		s.MilliCPU = uint64(max(0, cpu.MilliValue()))
	}
	if user := spec.SecurityContext.RunAsUser; user != nil {
		s.User = uint32(*user)
	}
	if group := spec.SecurityContext.RunAsGroup; group != nil {
		s.Group = uint32(*group)
	}
	// Processes start in the first of them.
	s.WritablePaths = slices.Clone(spec.Filesystem.WritablePaths)
	slices.SortStableFunc(s.WritablePaths, func(a, b string) int { return rank(a) - rank(b) })
	return s
}

func rank(path string) int {
	switch path {
	case workspace:
		return 0
	case "/tmp":
		return 2
	}
	return 1
}

func bytes(quantity *resource.Quantity) uint64 {
	if quantity == nil {
		return 0
	}
	return uint64(max(0, quantity.Value()))
}
