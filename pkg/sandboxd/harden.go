// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"safebeam.dev/safebeam/pkg/sandboxd/seccomp"
)

// Harden readies this process for a hostile neighbour of the same user. It is
// called first thing, before a token is read or a guest started.
func Harden(pids uint64) error {
	// Neither ptrace nor /proc/PID/{mem,environ,maps,fd} of a process that may not
	// be dumped is open to its own user. A guest's exec makes the guest dumpable
	// again.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming undumpable: %w", err)
	}
	// Without PID 1's place, orphans come here all the same.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming subreaper: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	// A guest that is behind sandboxd stays there. Linux lets every process lower a
	// limit of its own; what refuses is gVisor, which has neither this limit nor
	// priorities.
	if err := unix.Setrlimit(unix.RLIMIT_NICE, &unix.Rlimit{}); err != nil && err != unix.EPERM {
		return fmt.Errorf("forbidding higher priorities: %w", err)
	}
	ignoreSignals()
	spareThreads(spare)
	if err := shield(); err != nil {
		return err
	}
	if pids > 0 {
		if err := limitPids(pids); err != nil {
			return err
		}
	}
	// What sandboxd needs is little; what the Go runtime would like to keep is not.
	runtime.GOMAXPROCS(min(maxProcs, runtime.GOMAXPROCS(0)) + 1)
	debug.SetGCPercent(-1) // collector does it
	return nil
}

// ignoreSignals takes every signal that can be taken and does nothing. To PID 1 of
// a namespace, signals from inside that have no handler do not exist; the Go
// runtime, however, has handlers, and some of them end the process.
func ignoreSignals() {
	ignored := make(chan os.Signal, 1)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP:
		case syscall.SIGCHLD: // package process
		case syscall.SIGPROF, syscall.SIGURG, 32, 33, 34: // the runtime's and libc's own
		default:
			signal.Notify(ignored, n)
		}
	}
	go func() { // for the life of the process
		for range ignored {
		}
	}()
}

// maxProcs is on how many cores sandboxd runs at once, beside the thread that forks. Each costs it memory, and the
// cores are the guest's.
const maxProcs = 2

// spare is how many threads are made beforehand: as many as can be in system calls
// at one time (calls on files, forks, the reaper) and the runtime's own.
const spare = 32

// spareThreads makes threads while there are pids to make them of. The runtime
// keeps threads once it has them, and a runtime that needs a thread and gets none
// aborts: a fork bomb would be the end of sandboxd.
func spareThreads(n int) {
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	for range n {
		ready.Add(1)
		done.Go(func() {
			// A goroutine that is locked to its thread and waits makes the runtime
			// find another thread for the next one.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
}

// shield keeps the guest's hands off our limits and our scheduling.
func shield() error {
	// The filter goes on all threads at once, but the right to it is this thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	last := 0
	if os.Getpid() == 1 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("counting threads: %w", err)
		}
		for _, t := range threads {
			if n, err := strconv.Atoi(t.Name()); err == nil {
				last = max(last, n)
			}
		}
	}
	return seccomp.Shield(last).Install()
}

// limitPids sets the hard limit on the user's processes, if this user is the
// sandbox's alone: in a user namespace of its own. Elsewhere the limit would count
// other sandboxes of the same user, and a cgroup has to do it.
func limitPids(pids uint64) error {
	own, err := ownUserNamespace()
	if err != nil || !own {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: pids, Max: pids}); err != nil {
		return fmt.Errorf("limiting processes to %d: %w", pids, err)
	}
	return nil
}

func ownUserNamespace() (bool, error) {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false, fmt.Errorf("reading the user namespace: %w", err)
	}
	var inside, outside, count uint64
	if _, err := fmt.Sscan(string(b), &inside, &outside, &count); err != nil {
		return false, fmt.Errorf("reading the user namespace: %w", err)
	}
	return !(inside == 0 && outside == 0 && count == 1<<32-1), nil
}
