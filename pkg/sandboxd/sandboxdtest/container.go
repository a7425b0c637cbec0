// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxdtest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Container is what sandboxd has around it in a pod, as far as processes are
// concerned: it is PID 1 of a namespace, an ordinary user in the machine's own user
// namespace, and under limits that it cannot see, since a kubelet sets that on pids
// on the pod and not on the container.
type Container struct {
	// User that sandboxd and its guest are.
	User int
	// Pids is the kernel's limit, MilliCPU what all of them may use together.
	Pids, MilliCPU uint64
	// Cgroups to enter; Start makes them of the limits.
	Cgroups []string
}

// Workspace is a writable path of every Container, its own.
const Workspace = "/tmp"

// PidsInUse counts the processes and threads in the container.
func (c *Container) PidsInUse() (int, error) {
	b, err := os.ReadFile(filepath.Join(c.Cgroups[0], "pids.current"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// make makes the cgroups, or skips the test where this process may not.
func (c *Container) make(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a container is made as root")
	}
	var unique [4]byte
	rand.Read(unique[:])
	name := "safebeam-test-" + hex.EncodeToString(unique[:])
	const period = 100_000
	unified := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(unified, "cgroup.controllers")); err == nil {
		c.cgroup(t, filepath.Join(unified, name), map[string]string{
			"pids.max": strconv.FormatUint(c.Pids, 10), "cpu.max": fmt.Sprintf("%d %d", c.MilliCPU*period/1000, period),
		})
		return
	}
	c.cgroup(t, filepath.Join(unified, "pids", name), map[string]string{"pids.max": strconv.FormatUint(c.Pids, 10)})
	c.cgroup(t, filepath.Join(unified, "cpu", name), map[string]string{"cpu.cfs_quota_us": strconv.FormatUint(c.MilliCPU*period/1000, 10)})
}

func (c *Container) cgroup(t testing.TB, dir string, settings map[string]string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	t.Cleanup(func() {
		// The last of a namespace goes a little after its PID 1.
		for range 2000 {
			if err := syscall.Rmdir(dir); err == nil || errors.Is(err, syscall.ENOENT) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("%s cannot be removed: something in it is alive", dir)
	})
	for file, value := range settings {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			t.Skipf("no limits can be set here: %v", err)
		}
	}
	c.Cgroups = append(c.Cgroups, dir)
}

// enter makes the calling process, a new PID 1, one in the container.
func (c *Container) enter() error {
	for _, dir := range c.Cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to itself: %w", err)
	}
	for _, m := range []struct{ kind, path, data string }{
		{"proc", "/proc", ""}, {"tmpfs", Workspace, "mode=1777"}, {"tmpfs", "/sys/fs/cgroup", "mode=0555"},
	} {
		if err := unix.Mount(m.kind, m.path, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.path, err)
		}
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setresgid(c.User, c.User, c.User), syscall.Setresuid(c.User, c.User, c.User))
}

// namespaces are what Start gives the process.
const namespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC
