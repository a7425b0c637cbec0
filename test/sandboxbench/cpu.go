// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// processorTime is what a process has used, its children not counted.
func processorTime(pid int) time.Duration { return ticks(stat(pid), 11) }

// childrenTime is what the children have used that a process has seen the end of: of
// sandboxd, its guests.
func childrenTime(pid int) time.Duration { return ticks(stat(pid), 13) }

// ticks is the user's time and the kernel's, which stand side by side.
func ticks(fields []string, at int) time.Duration {
	if len(fields) < at+2 {
		return 0
	}
	var user, system int64
	fmt.Sscan(fields[at], &user)
	fmt.Sscan(fields[at+1], &system)
	return time.Duration(user+system) * (time.Second / 100) // clock ticks
}

// stat are the fields of a process's stat behind its name.
func stat(pid int) []string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(line[strings.LastIndexByte(string(line), ')')+1:]))
}

// A spent is the processor time of everybody who has to do with a call, which a busy
// machine changes less than how long the call takes.
type spent struct{ client, server, sandboxd, guests time.Duration }

func (a *api) processorTime() spent {
	var own syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	s := spent{client: time.Duration(own.Utime.Nano() + own.Stime.Nano()), server: processorTime(a.cmd.Process.Pid)}
	for _, pid := range a.sandboxds() {
		s.sandboxd += processorTime(pid)
		s.guests += childrenTime(pid)
	}
	return s
}

// sandboxds are those of this server: others on the machine have sandboxes, too.
func (a *api) sandboxds() (pids []int) {
	for _, pid := range named("sandboxd") {
		if isBelow(pid, a.cmd.Process.Pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isBelow reports whether a process descends from another.
func isBelow(pid, ancestor int) bool {
	for pid > 1 && pid != ancestor {
		fields := stat(pid)
		if len(fields) < 2 {
			return false
		}
		pid = 0
		fmt.Sscan(fields[1], &pid)
	}
	return pid == ancestor
}

// each prints what each of n calls took since.
func (s spent) each(name string, since spent, n int) {
	figure(name+"_client_cpu_ms", milliseconds(s.client-since.client)/float64(n), "ms")
	figure(name+"_server_cpu_ms", milliseconds(s.server-since.server)/float64(n), "ms")
	figure(name+"_sandboxd_cpu_ms", milliseconds(s.sandboxd-since.sandboxd)/float64(n), "ms")
	figure(name+"_guest_cpu_ms", milliseconds(s.guests-since.guests)/float64(n), "ms")
}
