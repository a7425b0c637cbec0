// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what lives before it is
// collected. What lives is some tens of MB, and collecting at every doubling of
// that took a seventh of the CPU of a busy server.
const gcPercent = 200

// TuneMemory sets how often the garbage collector runs in a server's process,
// unless the environment says it by GOGC.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
