// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// source tells usage and limit; a limit of zero is none.
type source interface {
	memory() (used, limit uint64)
	pids() (used, limit uint64)
	// limited reports whether there is a limit.
	limited() bool
}

// findSource prefers a cgroup's own numbers, file by file: a container may see
// its memory and not its pids.
func findSource(dir string) source {
	s := &sources{}
	roots := []string{"/sys/fs/cgroup"}
	if dir != "" {
		roots = []string{dir}
	}
	for _, root := range roots {
		for _, c := range []counter{
			{current: filepath.Join(root, "memory.current"), max: filepath.Join(root, "memory.max"), stat: filepath.Join(root, "memory.stat"), reclaimable: "inactive_file"},
			{current: filepath.Join(root, "memory/memory.usage_in_bytes"), max: filepath.Join(root, "memory/memory.limit_in_bytes"), stat: filepath.Join(root, "memory/memory.stat"), reclaimable: "total_inactive_file"},
			{current: filepath.Join(root, "memory.usage_in_bytes"), max: filepath.Join(root, "memory.limit_in_bytes"), stat: filepath.Join(root, "memory.stat"), reclaimable: "total_inactive_file"},
		} {
			if s.memoryCounter == nil && c.limited() {
				s.memoryCounter = &c
			}
		}
		for _, c := range []counter{
			{current: filepath.Join(root, "pids.current"), max: filepath.Join(root, "pids.max")},
			{current: filepath.Join(root, "pids/pids.current"), max: filepath.Join(root, "pids/pids.max")},
		} {
			if s.pidsCounter == nil && c.limited() {
				s.pidsCounter = &c
			}
		}
	}
	return s
}

type sources struct {
	memoryCounter, pidsCounter *counter
	proc                       procTable
}

func (s *sources) memory() (used, limit uint64) {
	if s.memoryCounter != nil {
		return s.memoryCounter.read()
	}
	return s.proc.memory(), 0
}

func (s *sources) pids() (used, limit uint64) {
	if s.pidsCounter != nil {
		return s.pidsCounter.read()
	}
	return s.proc.pids(), 0
}

func (s *sources) limited() bool { return s.memoryCounter != nil || s.pidsCounter != nil }

// counter is a cgroup's usage and limit, each a file with a number.
type counter struct {
	current, max string
	// stat has, under the name reclaimable, what the kernel would give back
	// before it kills.
	stat, reclaimable string
}

// unlimited is above every real limit: cgroup v1 says "none" by a number near 2^63.
const unlimited = 1 << 60

// limited reports whether the files are there and set a limit.
func (c *counter) limited() bool {
	_, limit := c.read()
	return limit != 0
}

func (c *counter) read() (used, limit uint64) {
	used = readNumber(c.current)
	if limit = readNumber(c.max); limit >= unlimited {
		limit = 0
	}
	if c.stat != "" && used > 0 {
		used -= min(used, readField(c.stat, c.reclaimable))
	}
	return used, limit
}

// readNumber is zero for "max", and for what cannot be read.
func readNumber(path string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	return n
}

func readField(path, name string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if key, value, ok := bytes.Cut(line, []byte(" ")); ok && string(key) == name {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			return n
		}
	}
	return 0
}
