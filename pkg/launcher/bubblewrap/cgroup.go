// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

type limits struct {
	memory, pids, milliCPU uint64
}

// cgroup is where a sandbox is limited, as far as this process may make cgroups:
// as root, or where one was delegated to it. Version 2 has one directory, version 1
// one for each controller.
type cgroup struct {
	dirs     []string          // to be left again, and to add processes to
	shown    map[string]string // name inside → directory, for the guard
	enforced []string
	// cpu is what differs while sandboxd starts.
	cpu []setting
}

// setting is a file, with what is in it while sandboxd starts, and after that.
type setting struct{ file, starting, started string }

// started puts the limit of CPU in force, or lifts it. A start is sandboxd's alone: a
// guest runs when the gateway says so. Under the limit of a tenth of a processor,
// say, it would take several periods in place of twenty milliseconds.
//
// A start weighs an eighth of a sandbox that has started, which somebody may just be
// claiming. Beside all else on the machine a launcher's sandboxes weigh the same
// together, so that starts do not starve.
func (c *cgroup) started(is bool) error {
	var errs []error
	for _, s := range c.cpu {
		value := s.starting
		if is {
			value = s.started
		}
		errs = append(errs, os.WriteFile(s.file, []byte(value), 0))
	}
	return errors.Join(errs...)
}

// weight is a setting of a file that has the kernel's default in it.
func weight(file string, normal uint64) setting {
	return setting{file, number(normal / 8), number(normal)}
}

// launcherCgroup is the name of the cgroup above those of a launcher's sandboxes.
// Others on the machine have others, by which one can sweep its own.
func launcherCgroup(stateDir string) string {
	sum := sha256.Sum256([]byte(stateDir))
	return "safebeam-" + hex.EncodeToString(sum[:6])
}

// unified reports whether cgroups are version 2's.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil
}

// cgroupParents are where the cgroups of a launcher's sandboxes are.
func cgroupParents(stateDir string) []string {
	own := ownCgroups()
	if unified() {
		return []string{filepath.Join(cgroupRoot, own[""], launcherCgroup(stateDir))}
	}
	var parents []string
	for _, controller := range []string{"memory", "pids", "cpu"} {
		parents = append(parents, filepath.Join(cgroupRoot, controller, own[controller], launcherCgroup(stateDir)))
	}
	return parents
}

// parents is held while a cgroup is made, so that the last sandbox to end does not
// take the one above away from the next.
var parents sync.Mutex

// makeCgroup makes what it can.
func makeCgroup(stateDir, name string, l limits) *cgroup {
	// One that cannot be removed yet does not stop the next of its name.
	var unique [4]byte
	rand.Read(unique[:])
	name += "." + hex.EncodeToString(unique[:])
	parents.Lock()
	defer parents.Unlock()
	c := &cgroup{shown: map[string]string{}}
	own, launcher := ownCgroups(), launcherCgroup(stateDir)
	if unified() {
		c.makeUnified(filepath.Join(cgroupRoot, own[""], launcher), name, l)
		return c
	}
	period := uint64(100_000)
	for controller, settings := range map[string][][2]string{
		"memory": {{"memory.limit_in_bytes", number(l.memory)}},
		"pids":   {{"pids.max", number(l.pids)}},
		"cpu":    {{"cpu.cfs_period_us", number(period)}, {"cpu.cfs_quota_us", number(l.milliCPU * period / 1000)}},
	} {
		if controller == "cpu" && l.milliCPU == 0 {
			continue
		}
		dir := filepath.Join(cgroupRoot, controller, own[controller], launcher, name)
		if c.make(dir, settings) {
			c.enforced = append(c.enforced, controller)
			if controller != "cpu" {
				c.shown[controller] = dir
			} else {
				c.cpu = []setting{
					{filepath.Join(dir, "cpu.cfs_quota_us"), "-1", number(l.milliCPU * period / 1000)},
					weight(filepath.Join(dir, "cpu.shares"), 1024),
				}
			}
		}
	}
	return c
}

func (c *cgroup) makeUnified(parent, name string, l limits) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return
	}
	// A cgroup with processes of its own cannot give controllers to its children;
	// whoever runs the server in such a one gets no limits by cgroup.
	for _, dir := range []string{filepath.Dir(parent), parent} {
		for _, controller := range []string{"+memory", "+pids", "+cpu"} {
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controller), 0)
		}
	}
	dir := filepath.Join(parent, name)
	if !c.make(dir, nil) {
		return
	}
	set := func(controller, file, value string) bool {
		if os.WriteFile(filepath.Join(dir, file), []byte(value), 0) != nil {
			return false
		}
		c.enforced = append(c.enforced, controller)
		return true
	}
	set("memory", "memory.max", number(l.memory))
	os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0)
	set("pids", "pids.max", number(l.pids))
	if l.milliCPU > 0 {
		limit := fmt.Sprintf("%d 100000", l.milliCPU*100)
		if set("cpu", "cpu.max", limit) {
			c.cpu = []setting{{filepath.Join(dir, "cpu.max"), "max 100000", limit}, weight(filepath.Join(dir, "cpu.weight"), 100)}
		}
	}
	// The guard looks for the files of version 2 in the directory itself.
	c.shown["."] = dir
}

// make makes a directory with its settings, or nothing.
func (c *cgroup) make(dir string, settings [][2]string) bool {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return false
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return false
	}
	// The sandbox's user binds them in, whatever the umask is here, or was when
	// the one above was made.
	for _, open := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(open, 0o755); err != nil {
			os.Remove(dir)
			return false
		}
	}
	for _, s := range settings {
		if err := os.WriteFile(filepath.Join(dir, s[0]), []byte(s[1]), 0); err != nil {
			os.Remove(dir)
			return false
		}
	}
	c.dirs = append(c.dirs, dir)
	return true
}

func (c *cgroup) visible() map[string]string { return c.shown }

// add puts a process, which has no children yet, under the limits.
func (c *cgroup) add(pid int) error {
	for _, dir := range c.dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("limiting the sandbox by %s: %w", dir, err)
		}
	}
	return nil
}

// remove leaves the cgroups when their processes have gone, which they do a little
// after they were killed.
func (c *cgroup) remove() {
	for _, dir := range c.dirs {
		for range 200 {
			err := syscall.Rmdir(dir)
			if err == nil || errors.Is(err, syscall.ENOENT) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		parents.Lock()
		syscall.Rmdir(filepath.Dir(dir)) // for the last of them
		parents.Unlock()
	}
}

// ownCgroups are this process's cgroups by controller; "" is that of version 2.
func ownCgroups() map[string]string {
	own := map[string]string{}
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			own[controller] = parts[2]
		}
	}
	return own
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
