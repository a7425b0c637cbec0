// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"os"
	"strconv"
)

// procTable counts what the sandbox's own /proc shows, where no cgroup counts. It
// sees no page that belongs to no process: what lies in a tmpfs is bounded by the
// tmpfs's own size.
type procTable struct{}

var pageSize = uint64(os.Getpagesize())

func (procTable) memory() uint64 {
	var sum uint64
	each(func(pid string) bool { sum += residentPages(pid) * pageSize; return true })
	return sum
}

// each visits every process until it is told that it need not go on.
func each(visit func(pid string) (more bool)) {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if name[0] >= '0' && name[0] <= '9' && !visit(name) {
			return
		}
	}
}

// residentPages counts the pages of a process that no file or shared memory backs.
func residentPages(pid string) uint64 {
	b, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	shared, _ := strconv.ParseUint(string(fields[2]), 10, 64)
	return resident - min(shared, resident)
}

// Guests counts the processes of the sandbox that have not ended, without this
// one. known is told where this is not the first process of a namespace, and
// cannot tell whose the others are.
func Guests(known int) uint32 { return guests(known, ^uint32(0)) }

// AnyGuest reports whether there is one, and does not count the others.
func AnyGuest(known int) bool { return known > 0 || guests(known, 1) > 0 }

func guests(known int, most uint32) uint32 {
	if os.Getpid() != 1 {
		return uint32(known)
	}
	var n uint32
	each(func(pid string) bool {
		if pid != "1" && !ended(pid) {
			n++
		}
		return n < most
	})
	return n
}

// ended reports whether a process is gone but for its exit status, or altogether.
func ended(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return true
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	return len(fields) == 0 || fields[0][0] == 'Z' || fields[0][0] == 'X'
}

// SelfRSS is the resident memory of this process.
func SelfRSS() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return n * pageSize
}
