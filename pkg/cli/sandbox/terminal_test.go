// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// screen is a terminal: what a user types and sees, and what a program has.
type screen struct {
	user, program *os.File

	mu      sync.Mutex
	seen    strings.Builder
	changed chan struct{}
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs terminals: mount devpts on /dev/pts:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	s := &screen{user: user, program: program, changed: make(chan struct{}, 1)}
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := user.Read(part)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.seen.Write(part[:n])
			s.mu.Unlock()
			select {
			case s.changed <- struct{}{}:
			default:
			}
		}
	}()
	return s
}

func (s *screen) size(t *testing.T, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(s.user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

// shows waits until text is to be seen.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		seen := s.seen.String()
		s.mu.Unlock()
		if strings.Contains(seen, text) {
			return
		}
		select {
		case <-s.changed:
		case <-late:
			t.Fatalf("%q is not among %q", text, seen)
		}
	}
}

func TestAShellFeelsAsIfItWereHere(t *testing.T) {
	u, _ := begin(t)
	s := newScreen(t)
	s.size(t, 101, 33)
	before, err := unix.IoctlGetTermios(int(s.program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- u.run(genericiooptions.IOStreams{In: s.program, Out: s.program, ErrOut: s.program}, "exec", "-it", "box", "--", "sh")
	}()
	for _, step := range []struct{ typed, shown string }{
		{"test -t 0 && test -t 2 && echo is a' 'terminal\n", "is a terminal"},
		{"until [ \"$(stty size)\" = '33 101' ]; do sleep 0.01; done; echo size' 'is right\n", "size is right"},
		{"echo $((6 * 7))\n", "42\r\n"},
		// Ctrl-C is for what runs there. No text is typed as it is shown: the
		// terminal shows what is typed, too.
		{"trap \"echo 'cau'ght\" INT; sh -c 'echo now\" \"waiting; exec sleep 1000'\n", "now waiting"},
		{"\x03", "caught"},
	} {
		if _, err := s.user.WriteString(step.typed); err != nil {
			t.Fatal(err)
		}
		s.shows(t, step.shown)
	}
	s.size(t, 60, 20)
	// The terminal is none that controls this process: its signal comes from here.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if _, err := s.user.WriteString("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.01; done; echo size' 'is new; exit 5\n"); err != nil {
		t.Fatal(err)
	}
	s.shows(t, "size is new")
	if code, ran := exitCode(<-ended); code != 5 || !ran {
		t.Errorf("exit code %d", code)
	}
	after, err := unix.IoctlGetTermios(int(s.program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("the terminal is not as it was: %+v, before %+v", after, before)
	}
}
