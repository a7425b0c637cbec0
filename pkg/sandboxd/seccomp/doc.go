// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package seccomp builds the system call filters of a sandbox as classic BPF.
//
// Sandbox is the filter of a local sandbox, for bwrap. Its law: a system call that
// is not known to this package does not exist (ENOSYS), whatever a newer kernel may
// have; one that is known is allowed unless it is denied by name (EPERM), or by its
// arguments. Numbers of system calls are dense, so "known" is one comparison with
// the newest. Denied are what a guest without capabilities has no use for and what
// has a history: namespaces, mounts, keys, BPF, performance counters, io_uring,
// userfaultfd, kernel modules, clocks, raw handles, other processes' memory. Sockets
// are those of the Unix, IP and route families: vsock, above all, reaches the host
// past every network namespace. ioctl may not push characters into a terminal.
// ptrace is allowed, for debuggers: what must withstand it does so by itself.
//
// Shield is what sandboxd puts on itself, and so on its guests, wherever it runs. It
// closes what the kernel grants any process over another one of its user even if
// that one cannot be dumped: changing its resource limits (a limit on its CPU time
// is its death, one on its descriptors its paralysis) and its scheduling.
package seccomp
