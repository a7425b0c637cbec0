// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Spec is one sandbox.
type Spec struct {
	// Name is unique among the launcher's sandboxes and names its directory.
	Name string
	// Token is what sandboxd shows the gateway.
	Token string
	// User and Group inside; default 1000.
	User, Group uint32
	// MemoryBytes, MilliCPU and Pids limit the sandbox; DiskBytes is what all its
	// tmpfs hold together, on top of the memory. Defaults: 512 MiB, none, 256, 1 GiB.
	MemoryBytes uint64
	MilliCPU    uint64
	Pids        uint64
	DiskBytes   uint64
	// WritablePaths are tmpfs; the first is where processes start. Default:
	// /workspace, /tmp.
	WritablePaths []string
	// Workspace is a directory of the host in place of the first writable path's
	// tmpfs, for storage that outlives the sandbox. It must belong to the sandbox's
	// user.
	Workspace string
	// Env is given to every process, "NAME=value".
	Env []string
}

// Defaults of a Spec.
const (
	DefaultMemory = 512 << 20
	DefaultPids   = 256
	DefaultDisk   = 1 << 30
	minPids       = 64
)

var nameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// complete fills in defaults and refuses what would not be a sandbox.
func (s *Spec) complete() error {
	if !nameForm.MatchString(s.Name) {
		return fmt.Errorf("sandbox name %q is no DNS label", s.Name)
	}
	if s.Token == "" || len(s.Token) > 8<<10 {
		return errors.New("a sandbox needs a token of at most 8 KiB")
	}
	if s.User == 0 {
		s.User = 1000
	}
	if s.Group == 0 {
		s.Group = 1000
	}
	if s.MemoryBytes == 0 {
		s.MemoryBytes = DefaultMemory
	}
	if s.Pids == 0 {
		s.Pids = DefaultPids
	}
	if s.Pids < minPids {
		return fmt.Errorf("%d pids are too few: sandboxd alone has threads for half of %d", s.Pids, minPids)
	}
	if s.DiskBytes == 0 {
		s.DiskBytes = DefaultDisk
	}
	if len(s.WritablePaths) == 0 {
		s.WritablePaths = []string{"/workspace", "/tmp"}
	}
	for _, path := range s.WritablePaths {
		if err := CheckWritable(path); err != nil {
			return err
		}
	}
	return nil
}

// sharedMemory is the size of /dev/shm; the rest of the disk is half the first
// writable path's, and half all others'.
func (s *Spec) sharedMemory() uint64 { return min(64<<20, s.DiskBytes/8) }

func (s *Spec) size(path int) uint64 {
	rest := s.DiskBytes - s.sharedMemory()
	switch {
	case len(s.WritablePaths) == 1:
		return rest
	case path == 0:
		return rest / 2
	}
	return rest / 2 / uint64(len(s.WritablePaths)-1)
}

// ours are the directories that the launcher lays out itself.
var ours = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/proc", "/dev", "/sys", "/run/safebeam"}

// CheckWritable refuses a writable path that is the launcher's own business.
func CheckWritable(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || path == "/run" {
		return fmt.Errorf("writable path %q is no clean absolute path below /", path)
	}
	for _, dir := range ours {
		if path == dir || strings.HasPrefix(path, dir+"/") || strings.HasPrefix(dir, path+"/") {
			return fmt.Errorf("writable path %q is part of the system at %s", path, dir)
		}
	}
	return nil
}
