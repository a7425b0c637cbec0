// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// counter is a cgroup's usage and limit, each a file with a number. The files stay
// open, since they are looked at all the time.
type counter struct {
	current, max int
	// stat has, under the names apart, what does not count: what the kernel would
	// give back before it kills, and maybe what is in tmpfs. It is -1 if all counts.
	stat  int
	apart []string

	mu     sync.Mutex
	buffer []byte
}

// statBytes is more than a memory.stat has.
const statBytes = 16 << 10

// openCounter is nil unless the files are there and set a limit.
func openCounter(current, max, stat string, apart []string) *counter {
	c := &counter{current: openFile(current), max: openFile(max), stat: -1, apart: apart, buffer: make([]byte, 64)}
	if stat != "" {
		c.stat, c.buffer = openFile(stat), make([]byte, statBytes)
	}
	if _, limit := c.read(exactly); limit == 0 {
		for _, fd := range []int{c.current, c.max, c.stat} {
			unix.Close(fd)
		}
		return nil
	}
	return c
}

// openFile is -1 for a file that is not there.
func openFile(path string) int {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd
		}
		if err != unix.EINTR {
			return -1
		}
	}
}

// unlimited is above every real limit: cgroup v1 says "none" by a number near 2^63.
const unlimited = 1 << 60

// read may say more than is used, if that is less than enough: the kernel adds up
// over all its processors what it says in stat.
func (c *counter) read(enough func(limit uint64) uint64) (used, limit uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used = c.number(c.current)
	if limit = c.number(c.max); limit >= unlimited {
		limit = 0
	}
	if c.stat >= 0 && used > 0 && used >= enough(limit) {
		used -= min(used, c.sum())
	}
	return used, limit
}

// number is zero for "max", and for what cannot be read.
func (c *counter) number(fd int) uint64 {
	n, _ := strconv.ParseUint(string(bytes.TrimSpace(c.content(fd))), 10, 64)
	return n
}

// sum adds up the lines of stat, names and numbers, that are apart.
func (c *counter) sum() (sum uint64) {
	for line := range bytes.Lines(c.content(c.stat)) {
		if key, value, ok := bytes.Cut(line, []byte(" ")); ok && slices.Contains(c.apart, string(key)) {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			sum += n
		}
	}
	return sum
}

// content is what is in a file now, as far as it fits.
func (c *counter) content(fd int) []byte {
	n := 0
	for n < len(c.buffer) {
		m, err := unix.Pread(fd, c.buffer[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if m <= 0 || err != nil {
			break
		}
		n += m
	}
	return c.buffer[:n]
}
