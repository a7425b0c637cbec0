// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Sandboxds returns the process ids of the sandboxds that run in the server's
// sandboxes. It may be called at any time.
func (s *Server) Sandboxds() []int {
	server := int(s.pid.Load())
	parents, agents := map[int]int{}, map[int]bool{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + entry.Name() + "/stat")
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if open < 0 || end < open {
			continue // it is gone
		}
		var state string
		var parent int
		_, _ = fmt.Sscan(string(stat[end+1:]), &state, &parent)
		parents[pid] = parent
		if string(stat[open+1:end]) == "sandboxd" && !strings.Contains("ZX", state) {
			agents[pid] = true
		}
	}
	var ours []int
	for pid := range agents {
		if agents[parents[pid]] {
			continue // a process that it has forked and that is about to become another program
		}
		for p := pid; p > 1; p = parents[p] {
			if p == server {
				ours = append(ours, pid)
				break
			}
		}
	}
	slices.Sort(ours)
	return ours
}
