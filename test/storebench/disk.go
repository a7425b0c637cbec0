// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// refuseMemory fails if dir is on a file system that keeps nothing.
func refuseMemory(dir string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	switch stat.Type {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return fmt.Errorf("%s is on a tmpfs, where an fsync costs nothing and nothing is kept: choose -dir on a disk", dir)
	}
	return nil
}

// diskSync measures the disk's own limit: a 4 KiB write into a file of zeros
// and an fdatasync, again and again.
func diskSync(dir string, duration time.Duration) ([]time.Duration, error) {
	f, err := os.OpenFile(filepath.Join(dir, "zeroed"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a temporary file
	defer f.Close()           //nolint:errcheck // a temporary file
	const size, block = 16 << 20, 4 << 10
	if _, err := f.Write(make([]byte, size)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	page := make([]byte, block)
	var took []time.Duration
	for end := time.Now().Add(duration); time.Now().Before(end); {
		page[0]++
		start := time.Now()
		if _, err := f.WriteAt(page, int64(len(took)*block%size)); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, nil
}

// machine describes what the numbers were measured on.
func machine(dir string) string {
	read := func(file, field string) string {
		data, _ := os.ReadFile(file)
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == field {
				return strings.TrimSpace(value)
			}
		}
		return "?"
	}
	var name unix.Utsname
	_ = unix.Uname(&name)
	return fmt.Sprintf("%d CPUs (%s), memory %s, Linux %s, %s, %s on %s, load %s",
		runtime.NumCPU(), read("/proc/cpuinfo", "model name"), read("/proc/meminfo", "MemTotal"),
		unix.ByteSliceToString(name.Release[:]), runtime.Version(), fileSystem(dir), dir, load())
}

// load is what else the machine is doing: runnable processes over 1, 5 and 15
// minutes.
func load() string {
	data, _ := os.ReadFile("/proc/loadavg")
	return strings.TrimSpace(string(data))
}

func fileSystem(dir string) string {
	dir, _ = filepath.Abs(dir)
	data, _ := os.ReadFile("/proc/mounts")
	best, found := "", "?"
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasPrefix(dir, fields[1]) && len(fields[1]) >= len(best) {
			best, found = fields[1], fields[2]+" ("+fields[0]+")"
		}
	}
	return found
}
