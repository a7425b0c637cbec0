// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// cpuLimit is what the kernel has for a process, in microseconds of 100 ms.
func cpuLimit(t *testing.T, pid int) string {
	t.Helper()
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for controller, file := range map[string]string{"cpu": "cpu/%s/cpu.cfs_quota_us", "": "%s/cpu.max"} {
			if !slices.Contains(strings.Split(parts[1], ","), controller) {
				continue
			}
			if limit, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", fmt.Sprintf(file, parts[2]))); err == nil {
				return strings.Fields(string(limit))[0]
			}
		}
	}
	return ""
}

// It is lifted for the start alone: who calls a sandbox finds it limited.
func TestTheLimitOfCPUHoldsFromTheFirstCallOn(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{MilliCPU: 200})
	if !slices.Contains(s.Limits(), "cpu") {
		t.Skip("no cgroups can be made here")
	}
	<-s.Dialled()
	if limit := cpuLimit(t, s.PID()); limit != "20000" {
		t.Errorf("the limit of a fifth of a processor is %q", limit)
	}
	if r := sh(t, sb, "echo called"); r.stdout != "called\n" {
		t.Errorf("got %+v", r)
	}
}
