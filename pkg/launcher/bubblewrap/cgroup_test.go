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

// While it starts, a sandbox that nobody waits for gives way to those that may have
// been claimed; nobody who waits gives way, and nobody does after the start.
func TestAStartThatNobodyWaitsForWeighsLittle(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		background bool
		// eighths of its weight after the start.
		eighths uint64
	}{
		{"waited-for", false, 8},
		{"background", true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := makeCgroup(t.TempDir(), tc.name, limits{memory: 64 << 20, pids: 64, milliCPU: 100, background: tc.background})
			t.Cleanup(c.remove)
			if len(c.cpu) == 0 {
				t.Skip("no cgroups can be made here")
			}
			if err := c.started(false); err != nil {
				t.Fatal(err)
			}
			starting := weightOf(t, c)
			if err := c.started(true); err != nil {
				t.Fatal(err)
			}
			if started := weightOf(t, c); starting/(started/8) != tc.eighths {
				t.Errorf("it weighs %d while it starts and %d then", starting, started)
			}
		})
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
