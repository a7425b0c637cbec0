// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// birthTime is how long a fork may take before somebody looks after it. It is over in
// less, where nobody interferes.
const birthTime = 5 * time.Millisecond

// maxBirthTime lies between two looks at a fork that takes ever longer.
const maxBirthTime = 200 * time.Millisecond

// births are one at a time, and not while garbage is collected.
var births sync.Mutex

// Undisturbed runs what stops every thread for a moment: no fork is under way.
func Undisturbed(f func()) {
	births.Lock()
	defer births.Unlock()
	f()
}

// attend looks after a fork until done is called. Until its exec a child is our
// double, and the thread that made it waits for it without a chance to be interrupted.
// But it is of the guest's user already, who may stop it: then it is told to go on.
// Meanwhile garbage must not be collected, since that would wait for this thread, with
// everybody else, who could tell the child; only a heap at its limit is.
func (m *Manager) attend() (done func()) {
	births.Lock()
	percent := debug.SetGCPercent(-1)
	over := make(chan struct{})
	wait := birthTime
	timer := time.NewTimer(wait)
	m.group.Go(func() {
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				m.resumeUnborn()
				// On a busy machine nobody need have interfered.
				wait = min(2*wait, maxBirthTime)
				timer.Reset(wait)
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		debug.SetGCPercent(percent)
		births.Unlock()
	}
}

// resumeUnborn tells our doubles to go on if they were stopped. Those that are born are
// the guest's to stop.
func (m *Manager) resumeUnborn() {
	own, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return
	}
	own = bytes.TrimSpace(own)
	looks <- struct{}{}
	defer func() { <-looks }()
	for _, r := range relatives() {
		if r.parent != os.Getpid() || !r.stopped || m.reaper.knows(r.pid) {
			continue
		}
		if comm, err := os.ReadFile("/proc/" + strconv.Itoa(r.pid) + "/comm"); err == nil && bytes.Equal(bytes.TrimSpace(comm), own) {
			syscall.Kill(r.pid, syscall.SIGCONT)
		}
	}
}
