// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResizeOfATerminalThatIsGoneSaysSo(t *testing.T) {
	t.Parallel()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{tty: tty}
	if err := p.Resize(WindowSize{Rows: 24, Cols: 80}); err != nil {
		t.Errorf("while it is there: %v", err)
	}
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	// What the gateway says may cross the process's end: the exit code is not to
	// be lost over it, so the caller must know this error from others.
	if err := p.Resize(WindowSize{Rows: 24, Cols: 80}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after its end: %v, want %v", err, os.ErrClosed)
	}
}
