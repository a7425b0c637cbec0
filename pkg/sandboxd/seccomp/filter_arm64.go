// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	// newest is the newest call that this package knows.
	newest = unix.SYS_RSEQ_SLICE_YIELD
)

var deniedHere = []uint32{unix.SYS_KEXEC_FILE_LOAD}
