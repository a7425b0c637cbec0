// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// afterStart is when the start is over: a server is ready a second or two after
// its beginning.
const afterStart = 5 * time.Second

// AfterStart gives back what only the start needed, and waits for ctx.
func AfterStart(ctx context.Context) error {
	timer := time.NewTimer(afterStart)
	defer timer.Stop()
	select {
	case <-timer.C:
		debug.FreeOSMemory()
		dropProgram()
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

// dropProgram unmaps the pages of the program: most of those that are there are
// initialisation, and the tables of it. What is needed comes back from the page
// cache by a minor fault.
func dropProgram() {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, s := range untouched(smaps, own) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED) // advice: nothing is lost without it
	}
}

type span struct{ from, to uintptr }

// untouched returns the mappings of a file that nobody can write to and nobody has
// written to, so that all of their bytes are the file's. A loader that relocates
// writes before it makes pages read-only, and those would come back unrelocated.
func untouched(smaps io.Reader, file string) []span {
	var found []span
	var s span
	var of bool
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		if n, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			if of && strings.TrimSpace(n) == "0 kB" {
				found = append(found, s)
			}
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 5 || strings.HasSuffix(fields[0], ":") {
			continue
		}
		_, err := fmt.Sscanf(fields[0], "%x-%x", &s.from, &s.to)
		of = err == nil && len(fields) == 6 && fields[5] == file && fields[1][1] == '-'
	}
	return found
}
