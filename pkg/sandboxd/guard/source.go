// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import "path/filepath"

// source tells usage and limit; a limit of zero is none.
type source interface {
	// memory may say more than there is, if that is less than enough.
	memory(enough func(limit uint64) uint64) (used, limit uint64)
	// pids may say more than there are, if that is less than enough.
	pids(enough uint64) (used, limit uint64)
	// inBurst visits all processes but this one if many have begun.
	inBurst(visit func(pid int))
	// limited reports whether there is a limit.
	limited() bool
}

// exactly asks for what there is.
func exactly(uint64) uint64 { return 0 }

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
		for _, c := range []struct{ current, max, stat, inactive, tmpfs string }{
			{"memory.current", "memory.max", "memory.stat", "inactive_file", "shmem"},
			{"memory/memory.usage_in_bytes", "memory/memory.limit_in_bytes", "memory/memory.stat", "total_inactive_file", "total_shmem"},
			{"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat", "total_inactive_file", "total_shmem"},
		} {
			apart := []string{c.inactive}
			if tmpfsApart {
				apart = append(apart, c.tmpfs)
			}
			if s.memoryCounter == nil {
				s.memoryCounter = openCounter(filepath.Join(root, c.current), filepath.Join(root, c.max), filepath.Join(root, c.stat), apart)
			}
		}
		for _, dir := range []string{root, filepath.Join(root, "pids")} {
			if s.pidsCounter == nil {
				s.pidsCounter = openCounter(filepath.Join(dir, "pids.current"), filepath.Join(dir, "pids.max"), "", nil)
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

func (s *sources) memory(enough func(limit uint64) uint64) (used, limit uint64) {
	if s.memoryCounter != nil {
		return s.memoryCounter.read(enough)
	}
	return s.proc.memory(), 0
}

func (s *sources) pids(enough uint64) (used, limit uint64) {
	if s.pidsCounter != nil {
		return s.pidsCounter.read(exactly)
	}
	return s.tally.count(enough), 0
}

func (s *sources) inBurst(visit func(pid int)) { s.tally.inBurst(visit) }

func (s *sources) limited() bool { return s.memoryCounter != nil || s.pidsCounter != nil }
