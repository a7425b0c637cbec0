// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// source tells usage and limit; a limit of zero is none.
type source interface {
	memory() (used, limit uint64)
	// pids may say more than there are, if that is less than enough.
	pids(enough uint64) (used, limit uint64)
	// inBurst visits all processes but this one if many have begun.
	inBurst(visit func(pid int))
	// limited reports whether there is a limit.
	limited() bool
}

// findSource prefers a cgroup's own numbers, file by file: a container may see
// its memory and not its pids.
//
// With tmpfsApart what lies in tmpfs is not memory: it is bounded by the tmpfs's
// own size, it does not go away with the guest, and the cgroup's limit has room for
// it; the guard's own limit is the one for memory.
func findSource(dir string, tmpfsApart bool) source {
	s := &sources{tally: newTally("/proc")}
	roots := []string{"/sys/fs/cgroup"}
	if dir != "" {
		roots = []string{dir}
	}
	for _, root := range roots {
		for _, c := range []counter{
			{current: filepath.Join(root, "memory.current"), max: filepath.Join(root, "memory.max"), stat: filepath.Join(root, "memory.stat"), apart: []string{"inactive_file"}, tmpfs: "shmem"},
			{current: filepath.Join(root, "memory/memory.usage_in_bytes"), max: filepath.Join(root, "memory/memory.limit_in_bytes"), stat: filepath.Join(root, "memory/memory.stat"), apart: []string{"total_inactive_file"}, tmpfs: "total_shmem"},
			{current: filepath.Join(root, "memory.usage_in_bytes"), max: filepath.Join(root, "memory.limit_in_bytes"), stat: filepath.Join(root, "memory.stat"), apart: []string{"total_inactive_file"}, tmpfs: "total_shmem"},
		} {
			if s.memoryCounter == nil && c.limited() {
				if tmpfsApart {
					c.apart = append(c.apart, c.tmpfs)
				}
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
	tally                      *tally
}

func (s *sources) memory() (used, limit uint64) {
	if s.memoryCounter != nil {
		return s.memoryCounter.read()
	}
	return s.proc.memory(), 0
}

func (s *sources) pids(enough uint64) (used, limit uint64) {
	if s.pidsCounter != nil {
		return s.pidsCounter.read()
	}
	return s.tally.count(enough), 0
}

func (s *sources) inBurst(visit func(pid int)) { s.tally.inBurst(visit) }

func (s *sources) limited() bool { return s.memoryCounter != nil || s.pidsCounter != nil }

// counter is a cgroup's usage and limit, each a file with a number.
type counter struct {
	current, max string
	// stat has, under the names apart, what does not count: what the kernel would
	// give back before it kills, and maybe what is in tmpfs.
	stat  string
	apart []string
	tmpfs string
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
		used -= min(used, sumFields(c.stat, c.apart))
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

// sumFields adds up the named lines of a file of names and numbers.
func sumFields(path string, names []string) (sum uint64) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if key, value, ok := bytes.Cut(line, []byte(" ")); ok && slices.Contains(names, string(key)) {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			sum += n
		}
	}
	return sum
}
