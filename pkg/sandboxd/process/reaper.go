// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A child is told of its end by the reaper.
type child interface {
	// exiting is called while the child is a zombie still: its pid, its group id
	// and its session id are its own for the last time.
	exiting()
	exited(status syscall.WaitStatus, usage syscall.Rusage)
	// blame says why it is about to be killed, and kill kills it.
	blame(reason Reason, message string)
	kill()
}

// reaper collects every child, also orphans that were handed to PID 1.
type reaper struct {
	// starting is held shared from before a fork until the child is known, and
	// exclusively while a dead child is looked up that is not: no end comes too early.
	starting sync.RWMutex
	mu       sync.Mutex
	children map[int]child
}

// start runs fork and makes the child known under the pid it returns.
func (r *reaper) start(c child, fork func() (int, error)) (int, error) {
	r.starting.RLock()
	defer r.starting.RUnlock()
	pid, err := fork()
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.children[pid] = c
	r.mu.Unlock()
	return pid, nil
}

// all acts on all children that are alive, and lets none be started meanwhile. It
// returns how many there are.
func (r *reaper) all(act func([]child)) int {
	r.starting.Lock()
	defer r.starting.Unlock()
	children := r.known()
	act(children)
	return len(children)
}

// take forgets a child and returns it, nil if it is not known.
func (r *reaper) take(pid int) child {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.children[pid]
	delete(r.children, pid)
	return c
}

// knows reports whether a child was started and has not been reaped.
func (r *reaper) knows(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.children[pid]
	return ok
}

// known are the children that have been started and not reaped.
func (r *reaper) known() []child {
	r.mu.Lock()
	defer r.mu.Unlock()
	children := make([]child, 0, len(r.children))
	for _, c := range r.children {
		children = append(children, c)
	}
	return children
}

func (r *reaper) run(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	defer signal.Stop(signals)
	for {
		for r.reapOne() {
		}
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
	}
}

// reapOne reports whether there was a dead child.
func (r *reaper) reapOne() bool {
	var info siginfo
	err := waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	if err == unix.EINTR {
		return true
	}
	pid := int(info.pid)
	if err != nil || pid == 0 {
		return false
	}
	c := r.take(pid)
	if c == nil {
		// An orphan; or one that ended before its start was over.
		r.starting.Lock()
		c = r.take(pid)
		r.starting.Unlock()
	}
	if c != nil {
		c.exiting()
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		_, err = syscall.Wait4(pid, &status, 0, &usage)
		if err != syscall.EINTR {
			break
		}
	}
	if c != nil {
		c.exited(status, usage)
	}
	return true
}
