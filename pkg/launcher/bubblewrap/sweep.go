// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweep removes what an earlier launcher of the same StateDir has left that was
// killed: cgroups, whoever is in them, and bwraps. One of those waits for ever if the
// other, its parent, was killed before it gave its word to go on; nothing of the guest
// runs in it.
func (l *Launcher) sweep() {
	for _, pid := range l.strayBwraps() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, parent := range cgroupParents(l.options.StateDir) {
		entries, err := os.ReadDir(parent)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				sweepCgroup(filepath.Join(parent, e.Name()))
			}
		}
		syscall.Rmdir(parent)
	}
}

// sweepTime is how long the dead may take to leave their cgroup.
const sweepTime = 5 * time.Second

func sweepCgroup(dir string) {
	for deadline := time.Now().Add(sweepTime); ; time.Sleep(5 * time.Millisecond) {
		if err := syscall.Rmdir(dir); err != syscall.EBUSY || time.Now().After(deadline) {
			return
		}
		members, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for member := range bytes.FieldsSeq(members) {
			if pid, err := strconv.Atoi(string(member)); err == nil && pid > 1 {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// strayBwraps finds those of this StateDir by their command lines. This launcher has
// started none yet.
func (l *Launcher) strayBwraps() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		words := strings.Split(string(line), "\x00")
		if words[0] == l.options.Bwrap && slices.ContainsFunc(words, func(word string) bool {
			return strings.HasPrefix(word, l.options.StateDir+"/") && filepath.Base(word) == socketName
		}) {
			pids = append(pids, pid)
		}
	}
	return pids
}
