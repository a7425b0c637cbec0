// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// birthTime is how long a fork may take before somebody looks after it. It is
	// over in less, where nobody interferes.
	birthTime = 5 * time.Millisecond
	// maxBirthTime lies between two looks at a fork that takes ever longer.
	maxBirthTime = 200 * time.Millisecond
	// maxForks at one time: a fork is waited for, above all where the processor is
	// not its own, and so others need not wait for it.
	maxForks = 2
)

// births are the forks that are under way.
//
// Until its exec a child is our double, and the thread that made it waits for it
// without a chance to be interrupted, with a processor of the runtime's in its hands.
// But it is of the guest's user already, who may stop it: then it is told to go on.
// So there are fewer forks at a time than processors, and garbage is collected only
// when there is none, since that would wait for these threads, with everybody else, who
// could tell the child. The runtime's own collector cannot be kept to it, and is off.
type births struct {
	// resume tells children that were stopped to go on.
	resume func()

	mu    sync.Mutex
	began []time.Time // of each fork; zero where there is none
	n     int
	quiet int       // who wants that there is none
	ended sync.Cond // n or quiet went down
	watch *time.Timer
	wait  time.Duration // until the next look
}

// newBirths has room for as many forks as leave a processor for everybody else.
func newBirths(resume func()) *births {
	b := &births{resume: resume, began: make([]time.Time, max(1, min(maxForks, runtime.GOMAXPROCS(0)-1)))}
	b.ended.L = &b.mu
	b.watch = time.AfterFunc(time.Hour, b.look)
	b.watch.Stop()
	return b
}

// begin is called before a fork, and end with what it returned after it.
func (b *births) begin() (i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.n == len(b.began) || b.quiet > 0 {
		b.ended.Wait()
	}
	if b.n == 0 {
		b.wait = birthTime
		b.watch.Reset(b.wait)
	}
	b.n++
	i = slices.IndexFunc(b.began, time.Time.IsZero)
	b.began[i] = time.Now()
	return i
}

func (b *births) end(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began[i] = time.Time{}
	if b.n--; b.n == 0 {
		b.watch.Stop()
	}
	b.ended.Broadcast()
}

// look looks after forks that take long.
func (b *births) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var longest time.Duration
	for _, began := range b.began {
		if !began.IsZero() {
			longest = max(longest, time.Since(began))
		}
	}
	if longest >= birthTime {
		b.mu.Unlock()
		b.resume()
		b.mu.Lock()
		// On a busy machine nobody need have interfered.
		b.wait = min(2*b.wait, maxBirthTime)
	} else {
		b.wait = birthTime
	}
	if b.n > 0 {
		b.watch.Reset(b.wait)
	}
}

// undisturbed runs f while there is no fork. Those to come wait.
func (b *births) undisturbed(f func()) {
	b.mu.Lock()
	b.quiet++
	for b.n > 0 {
		b.ended.Wait()
	}
	b.mu.Unlock()
	f()
	b.mu.Lock()
	b.quiet--
	b.mu.Unlock()
	b.ended.Broadcast()
}

// Undisturbed runs what stops every thread for a moment: no fork is under way.
func (m *Manager) Undisturbed(f func()) { m.births.undisturbed(f) }

// resumeUnborn tells our doubles to go on if they were stopped. Those that are born are
// the guest's to stop.
func (m *Manager) resumeUnborn() {
	// On a busy machine a fork takes long without anybody's doing. That is all there is
	// to know as long as no child is stopped.
	var info siginfo
	if waitid(unix.P_ALL, 0, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT) == nil && info.pid == 0 {
		return
	}
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
