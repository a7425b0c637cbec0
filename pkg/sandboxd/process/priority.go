// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"
)

// DefaultGuestNice is the most polite there is. A guest shares its part of the
// machine with sandboxd alone, and loses nothing by it: sandboxd hardly wants any.
// But a thousand processes of a fork bomb are then no more than fifteen of ours, and
// sandboxd gets to run often enough to end them.
const DefaultGuestNice = 19

// forkNice is what a guest is born with: whoever forks at once is behind sandboxd
// before it is put there. It is between the two since it is also the priority of the
// thread that forks, which has to get past those that were there before.
const forkNice = 10

// forkAll forks for others, on a thread of its own whose priority children inherit. A
// thread that has gone down cannot come back up, so it does nothing else.
func (m *Manager) forkAll(ctx context.Context) {
	runtime.LockOSThread() // and never unlocked: the thread ends with this
	if nice := min(forkNice, m.options.GuestNice); nice != 0 {
		unix.Setpriority(unix.PRIO_PROCESS, 0, nice)
	}
	for {
		select {
		case fork := <-m.forks:
			fork()
		case <-ctx.Done():
			return
		}
	}
}

// yield puts a new leader behind sandboxd, and with it whatever it has started since
// its exec; what they start later inherits it. A guest cannot undo it (RLIMIT_NICE,
// which Harden sets), but may have left the group: see Yield.
func (m *Manager) yield(leader int) {
	if m.options.GuestNice != 0 {
		// It fails if the leader is gone already.
		unix.Setpriority(unix.PRIO_PGRP, leader, m.options.GuestNice)
	}
}

// Yield puts any process behind sandboxd.
func (m *Manager) Yield(pid int) {
	if m.options.GuestNice != 0 {
		unix.Setpriority(unix.PRIO_PROCESS, pid, m.options.GuestNice)
	}
}
