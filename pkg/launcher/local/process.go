// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	sigTerm = unix.SIGTERM
	sigKill = unix.SIGKILL
)

// exitStatus is how a process ended, as far as it can be known: the exit code
// of a process that is no child of ours is not told to us.
type exitStatus struct {
	known bool
	code  int
	// description is for people: "exit status 2", "signal: killed".
	description string
}

// process is one that runs.
type process interface {
	// wait returns when the process has ended. It is called once.
	wait() exitStatus
	signalGroup(unix.Signal)
}

// child is a process that we started.
type child struct{ cmd *exec.Cmd }

func (c child) wait() exitStatus {
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return exitStatus{description: err.Error()}
	}
	state := c.cmd.ProcessState
	return exitStatus{known: true, code: state.ExitCode(), description: state.String()}
}

func (c child) signalGroup(signal unix.Signal) { signalGroup(c.cmd.Process.Pid, signal) }

// orphan is a process that an earlier launcher started.
type orphan struct {
	pid int
	// fd is a pidfd: it stands for this very process, whatever becomes of its
	// number.
	fd int
}

func (o orphan) wait() exitStatus {
	defer unix.Close(o.fd)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(o.fd), Events: unix.POLLIN}}, -1)
		if err == nil {
			return exitStatus{description: "ended"}
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return exitStatus{description: fmt.Sprintf("waiting for process %d: %v", o.pid, err)}
		}
	}
}

func (o orphan) signalGroup(signal unix.Signal) { signalGroup(o.pid, signal) }

// signalGroup signals the process group that leader leads. A group that is
// gone is no error: that is what signals are for.
func signalGroup(leader int, signal unix.Signal) {
	_ = unix.Kill(-leader, signal)
}

// identifyProcess names a process so that it is not mistaken for a later one
// of the same number: by when it started, in the kernel's ticks since boot,
// and by the boot. A zombie is no process any more.
func identifyProcess(pid int) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses and may hold
	// anything; the third is the state, the 22nd the start time.
	_, rest, found := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat has another form than expected", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", os.ErrProcessDone
	}
	return strings.TrimSpace(string(boot)) + "/" + strconv.Itoa(pid) + "/" + fields[19], nil
}

// findOrphan takes hold of the process that was identified so.
func findOrphan(pid int, identity string) (orphan, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return orphan{}, err
	}
	// Looked at after the pidfd was opened: if it is the right process now,
	// the pidfd stands for it.
	found, err := identifyProcess(pid)
	if err == nil && found != identity {
		err = fmt.Errorf("process %d is another one now", pid)
	}
	if err != nil {
		return orphan{}, errors.Join(err, unix.Close(fd))
	}
	return orphan{pid: pid, fd: fd}, nil
}

func groupOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
