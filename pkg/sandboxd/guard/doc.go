// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guard ends the guest before the kernel ends the sandbox.
//
// A container that runs into its memory limit may lose every process at once
// (kubelet sets memory.oom.group), sandboxd among them; one that runs into its
// pids limit leaves sandboxd without threads. The guard looks at both and, at
// 90 % of either limit, has the guest killed: the sandbox lives on, and the guest's
// processes end with the reason.
//
// It looks as often as it must: memory cannot fill faster than fillRate, so a look
// is due before the guest could have come from what it uses to the line. Pids have no
// such rate. A fork bomb may be at the kernel's limit when it is seen, and have the
// processor to itself: so a look costs next to nothing (tally.go), the guest is behind
// sandboxd (package process), and whoever finds no pid left for a process of ours says
// so (Exhausted), wherever the limit lies. Without
// a guest there is nothing to look at: a sandbox that waits costs no CPU.
//
// Usage is that of the sandbox's cgroup, version 2 or 1. Where there is none, or
// none with a limit, it is the sum over /proc, and the limits are those that
// sandboxd was given; the lower of a given limit and the cgroup's counts.
package guard
