// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"syscall"
	"time"
)

// Reason says who ended a process.
type Reason int

const (
	// Finished by itself, or by a signal that came from inside the sandbox.
	Finished Reason = iota + 1
	TimedOut
	Stopped
	MemoryLimit
	PidsLimit
	Detached
)

// TimeoutExitCode is the exit code of a process that ran into its timeout, as
// timeout(1) has it.
const TimeoutExitCode = 124

// Exit is the end of a process.
type Exit struct {
	Code    int
	Signal  syscall.Signal
	Reason  Reason
	Message string

	Start, End time.Time
	User, Sys  time.Duration
	MaxRSS     uint64
}

func newExit(status syscall.WaitStatus, usage syscall.Rusage, reason Reason, start, end time.Time) Exit {
	e := Exit{
		Reason: reason, Start: start, End: end,
		User:   time.Duration(usage.Utime.Nano()),
		Sys:    time.Duration(usage.Stime.Nano()),
		MaxRSS: uint64(usage.Maxrss) << 10,
	}
	if status.Signaled() {
		e.Signal = status.Signal()
		e.Code = 128 + int(e.Signal)
	} else {
		e.Code = status.ExitStatus()
	}
	if reason == TimedOut {
		e.Code = TimeoutExitCode
	}
	return e
}
