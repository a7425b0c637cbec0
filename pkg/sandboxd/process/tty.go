// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// WindowSize is the size of a terminal in characters.
type WindowSize struct {
	Rows, Cols uint16
}

// openTTY makes a pseudo terminal. The process's end is had by ioctl from our
// end, not by a path that the guest could have put something else at.
func openTTY(size WindowSize) (ours *os.File, theirs int, err error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("opening /dev/ptmx: %w", err)
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		unix.Close(master)
		return nil, -1, fmt.Errorf("unlocking the terminal: %w", err)
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, uintptr(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC))
	if errno != 0 {
		unix.Close(master)
		return nil, -1, fmt.Errorf("opening the terminal's other end: %w", errno)
	}
	if err := resize(master, size); err != nil {
		unix.Close(master)
		unix.Close(int(slave))
		return nil, -1, err
	}
	return os.NewFile(uintptr(master), "terminal"), int(slave), nil
}

func resize(master int, size WindowSize) error {
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols}); err != nil {
		return fmt.Errorf("setting the terminal to %d rows and %d columns: %w", size.Rows, size.Cols, err)
	}
	return nil
}
