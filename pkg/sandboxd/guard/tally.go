// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// tally counts the processes and threads of this namespace as /proc shows it, with
// next to no work of its own: whoever is to end a fork bomb has to find it with the
// little that the bomb leaves of the processor.
//
// A look reads one line. It has the number that the namespace gave out last, and
// since every process and thread gets one, there cannot be more of them than were
// counted last and have begun since. They are counted again only if that may be too
// many, and threads only if processes alone are not.
type tally struct {
	mu     sync.Mutex
	dir    string
	proc   int // descriptor of dir, -1 without one
	line   int // of loadavg in it
	buffer []byte
	pids   []int32

	seen    uint64 // the number given out last, at the last call of each
	counted uint64 // at the last count
	last    uint64 // the number given out last, then; zero if that is not known
}

func newTally(dir string) *tally {
	t := &tally{dir: dir, buffer: make([]byte, 8<<10)}
	var err error
	if t.proc, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		t.proc = -1
	}
	if t.line, err = unix.Open(dir+"/loadavg", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.line = -1
	}
	t.seen = t.lastNumber()
	return t
}

// count says how many there are at most, and exactly if that is as many as enough
// or more. With an enough of zero it is always exact.
func (t *tally) count(enough uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.lastNumber()
	if enough > 0 && t.last != 0 && last >= t.last {
		if most := t.counted + last - t.last; most < enough {
			return most
		}
	}
	t.list()
	n := uint64(len(t.pids))
	if enough == 0 || n < enough {
		n = 0
		for _, pid := range t.pids {
			n += max(1, threads(t.dir, int(pid)))
		}
	}
	// What began while they were counted may have been missed.
	t.counted, t.last = n, last
	return n
}

// burst is how many begin between two looks, at the least, of a guest in a hurry.
const burst = 64

// inBurst visits every process but this one if a burst of them has begun since it was
// called last.
func (t *tally) inBurst(visit func(pid int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.lastNumber()
	if last-t.seen < burst { // a number that is lower than the last is far away
		return
	}
	t.seen = last
	t.list()
	own := os.Getpid()
	for _, pid := range t.pids {
		if int(pid) != own {
			visit(int(pid))
		}
	}
}

// lastNumber is the last field of the line, and zero where no number is given
// (gVisor).
func (t *tally) lastNumber() uint64 {
	n, err := unix.Pread(t.line, t.buffer[:128], 0)
	if err != nil || n == 0 {
		return 0
	}
	line := bytes.TrimSpace(t.buffer[:n])
	last, _ := strconv.ParseUint(string(line[bytes.LastIndexByte(line, ' ')+1:]), 10, 64)
	return last
}

// list finds the numbers of all processes.
func (t *tally) list() {
	t.pids = t.pids[:0]
	if _, err := unix.Seek(t.proc, 0, 0); err != nil {
		return
	}
	for {
		n, err := unix.Getdents(t.proc, t.buffer)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			break
		}
		for entries := t.buffer[:n]; len(entries) > 0; {
			const header = 19 // inode, offset, length, kind
			length := int(binary.NativeEndian.Uint16(entries[16:]))
			if pid, ok := number(entries[header:length]); ok {
				t.pids = append(t.pids, pid)
			}
			entries = entries[length:]
		}
	}
}

// number is a name of digits, up to its NUL byte.
func number(name []byte) (n int32, ok bool) {
	for i, c := range name {
		switch {
		case c == 0:
			return n, i > 0
		case c < '0' || c > '9' || n > 1<<27:
			return 0, false
		}
		n = n*10 + int32(c-'0')
	}
	return n, len(name) > 0
}

// threads is the 20th field of stat, the 18th after the name.
func threads(proc string, pid int) uint64 {
	b, err := os.ReadFile(proc + "/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 18 {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[17]), 10, 64)
	return n
}
