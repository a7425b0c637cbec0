// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Shield protects the threads up to lastThread, which have to be this process's own
// from the first one: as PID 1 it has the lowest numbers of its namespace, and the
// kernel does not give low ones out again.
func Shield(lastThread int) Filter {
	p, err := prologue()
	if err != nil {
		return Filter{err: err}
	}
	last := uint32(lastThread)
	err = p.addRules([]rule{
		{unix.SYS_PRLIMIT64, ownLimitsOnly},
		{unix.SYS_SCHED_SETAFFINITY, sparing(0, last)},
		{unix.SYS_SCHED_SETSCHEDULER, sparing(0, last)},
		{unix.SYS_SCHED_SETPARAM, sparing(0, last)},
		{unix.SYS_SCHED_SETATTR, sparing(0, last)},
		{unix.SYS_SETPRIORITY, only(last, unix.PRIO_PROCESS, unix.PRIO_PGRP)},
		{unix.SYS_IOPRIO_SET, only(last, 1, 2)}, // IOPRIO_WHO_PROCESS, IOPRIO_WHO_PGRP
	})
	return Filter{program: p, err: err}
}

// ownLimitsOnly lets a process set its own limits, as pid 0, and read any. Limits
// belong to a process, and every thread's number names it, so no range would do.
func ownLimitsOnly() program {
	var p program
	p.argument(0)
	p.skipUnlessEqual(0, 1)
	p.ret(retAllow)
	// The new limits are a pointer, of both halves: none is a question.
	p.argument(2)
	p.skipIfEqual(0, 1)
	p.errno(unix.EPERM)
	p.load(offsetArgs + 8*2 + 4)
	p.skipIfEqual(0, 1)
	p.errno(unix.EPERM)
	p.ret(retAllow)
	return p
}

// sparing denies if the argument is a thread from 1 to last.
func sparing(arg, last uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		p.spare(last)
		return p
	}
}

func (p *program) spare(last uint32) {
	p.skipUnlessEqual(0, 1) // the caller itself
	p.ret(retAllow)
	p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, last, 1, 0)
	p.errno(unix.EPERM)
	p.ret(retAllow)
}

// only allows what is done to processes and to groups, spares sandboxd's threads and
// the group that the first of them leads, and denies the rest: what is done to a user,
// of whom sandboxd is one.
func only(last uint32, process, group uint32) func() program {
	return func() program {
		var p program
		p.argument(0)
		p.skipIfEqual(process, 2)
		p.skipIfEqual(group, 1)
		p.errno(unix.EPERM)
		p.argument(1)
		p.spare(last)
		return p
	}
}

// Install puts the filter on every thread of this process, for ever, and on all
// that it starts.
func (f Filter) Install() error {
	if f.err != nil {
		return f.err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(f.program)), Filter: &f.program[0]}
	const setModeFilter, flagTSync = 1, 1
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, flagTSync, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("installing the filter: %w", errno)
	}
	if r != 0 {
		return fmt.Errorf("installing the filter: thread %d did not take it", r)
	}
	return nil
}
