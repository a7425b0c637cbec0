// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"safebeam.dev/safebeam/test/harness"
)

// marks holds the files in which executions write down that they run. They lie in
// the sandboxes' memory, and an open file outlives the sandbox.
type marks struct {
	files map[inode]*os.File
	stop  context.CancelFunc
	done  chan struct{}
}

type inode struct{ device, number uint64 }

// holdMarks holds the files of all sandboxes of a server.
func holdMarks(t *testing.T, s *harness.Server) *marks {
	if os.Getuid() != 0 {
		t.Fatal("this test looks into sandboxes: it needs root")
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &marks{files: map[inode]*os.File{}, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			for _, pid := range s.Sandboxds() {
				m.hold(pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-m.done })
	return m
}

// hold opens the file of a sandbox, if it is there, and says so by its mode.
func (m *marks) hold(sandboxd int) {
	file, err := os.OpenFile(fmt.Sprintf("/proc/%d/root%s", sandboxd, marksFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return
	}
	stat := info.Sys().(*syscall.Stat_t)
	id := inode{stat.Dev, stat.Ino}
	if m.files[id] != nil {
		file.Close()
		return
	}
	m.files[id] = file
	_ = file.Chmod(0o777)
}

// ran is how often each execution began.
func (m *marks) ran(t *testing.T) map[string]int {
	t.Helper()
	m.stop()
	<-m.done
	times := map[string]int{}
	for _, file := range m.files {
		data, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		for _, name := range strings.Fields(string(data)) {
			times[name]++
		}
	}
	return times
}
