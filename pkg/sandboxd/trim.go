// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A sandbox is idle for most of its life, and a machine has many of them.
const (
	trimAfterStart = time.Second
	trimEvery      = 15 * time.Second
)

// trim gives back memory that start and work have left behind: once after the start,
// and whenever processes have been run since and none is running. busy says how many
// have been started and how many are running.
func trim(ctx context.Context, busy func() (started uint64, running int)) {
	timer := time.NewTimer(trimAfterStart)
	defer timer.Stop()
	last := ^uint64(0)
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if started, running := busy(); started != last && running == 0 {
			last = started
			// A pool lets go of what it holds in the second collection after its
			// last use.
			runtime.GC()
			runtime.GC()
			debug.FreeOSMemory()
			dropCode()
		}
		timer.Reset(trimEvery)
	}
}

// dropCode unmaps the pages of the binary, most of which are of initialisation that
// is over. What is needed comes back from the page cache by a minor fault.
func dropCode() {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		var from, to uintptr
		var permissions string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &permissions); err != nil {
			continue
		}
		// Only what nobody can have written to: the file has all of it.
		if permissions[1] == '-' && strings.HasSuffix(line, own) {
			unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
