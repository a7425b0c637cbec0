// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Lifeline binds the life of this process to that of whoever holds the other end of
// a pipe, of which fd is the end to read from: when the last of them is gone, kill -9
// included, this process ends, and as PID 1 takes its namespace with it. A signal at
// the parent's death does not do: whoever asks for one after that death gets none.
//
// It is called first thing. If they are gone already it does not return.
func Lifeline(fd int) error {
	// The guest is not to have it: not that it could do anything with it.
	unix.CloseOnExec(fd)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); err == nil && n > 0 {
		severed()
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("lifeline: %w", err)
	}
	line := os.NewFile(uintptr(fd), "lifeline")
	if line == nil {
		return fmt.Errorf("lifeline: no descriptor %d", fd)
	}
	go func() { // for the life of the process
		var b [1]byte
		line.Read(b[:])
		severed()
	}()
	return nil
}

func severed() { os.Exit(severedExit) }

// severedExit is for nobody to see but whoever debugs it.
const severedExit = 3
