// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// It gives way to those that may just be claimed, and to nobody when it has started.
func TestAStartWeighsLessThanASandboxThatHasStarted(t *testing.T) {
	t.Parallel()
	c := makeCgroup(t.TempDir(), "one", limits{memory: 64 << 20, pids: 64, milliCPU: 100})
	t.Cleanup(c.remove)
	if len(c.cpu) == 0 {
		t.Skip("no cgroups can be made here")
	}
	normal := weightOf(t, c)
	if err := c.started(false); err != nil {
		t.Fatal(err)
	}
	if starting := weightOf(t, c); starting != normal/8 {
		t.Errorf("it weighs %d while it starts, want an eighth of %d", starting, normal)
	}
	if err := c.started(true); err != nil {
		t.Fatal(err)
	}
	if started := weightOf(t, c); started != normal {
		t.Errorf("it weighs %d when it has started, want the kernel's default, %d", started, normal)
	}
}

// weightOf is what the kernel has.
func weightOf(t *testing.T, c *cgroup) uint64 {
	t.Helper()
	for _, dir := range c.dirs {
		for _, file := range []string{"cpu.shares", "cpu.weight"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue
			}
			n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the cgroup has no weight")
	return 0
}
