// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Where things are inside.
const (
	insideDir    = "/run/safebeam"
	insideAgent  = insideDir + "/sandboxd"
	insideSocket = insideDir + "/gateway.sock"
	insideCA     = insideDir + "/ca.pem"
	insideCgroup = insideDir + "/cgroup"
)

// sharedNice is a guest's where the processor is not the sandbox's own: behind its
// sandboxd, but not behind everything else on the machine.
const sharedNice = 5

// etc is what of the host's /etc is visible inside.
var etc = []string{
	"alternatives", "ca-certificates", "ssl", "pki", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
	"localtime", "timezone", "mime.types", "nsswitch.conf", "python3", "fonts", "matplotlibrc", "magic", "terminfo", "bash.bashrc",
}

// inherited are descriptors that bwrap has from here, beside those of files that it
// copies.
type inherited struct {
	seccomp, info, block, token, lifeline int
}

// args is bwrap's command line for a sandbox. Order matters: later mounts lie on
// earlier ones. And for each bind mount bwrap reads the list of all mounts, those of
// the machine and those that it has made: what is small is copied.
func (l *Launcher) args(s *Spec, dir string, cg *cgroup, fds inherited, files *descriptors) []string {
	a := arguments{}
	a.add("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
	a.add("--uid", itoa(s.User), "--gid", itoa(s.Group), "--hostname", "sandbox")
	a.add("--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--cap-drop", "ALL")
	a.add("--seccomp", strconv.Itoa(fds.seccomp), "--info-fd", strconv.Itoa(fds.info), "--block-fd", strconv.Itoa(fds.block))

	a.add("--ro-bind", filepath.Join(l.options.Root, "usr"), "/usr")
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		path := filepath.Join(l.options.Root, name)
		if target, err := os.Readlink(path); err == nil {
			a.add("--symlink", target, "/"+name)
		} else if _, err := os.Stat(path); err == nil {
			a.add("--ro-bind", path, "/"+name)
		}
	}
	for _, name := range etc {
		a.small(files, filepath.Join(l.options.Root, "etc", name), "/etc/"+name)
	}
	a.file(files.data(passwd(s)), "/etc/passwd")
	a.file(files.data(group(s)), "/etc/group")
	a.file(files.data(hosts), "/etc/hosts")
	a.add("--proc", "/proc", "--dev", "/dev")
	a.tmpfs("1777", s.sharedMemory(), "/dev/shm")
	a.add("--remount-ro", "/dev")
	for i, path := range s.WritablePaths {
		switch {
		case i == 0 && s.Workspace != "":
			a.add("--bind", s.Workspace, path)
		case path == "/tmp":
			a.tmpfs("1777", s.size(i), path)
		default:
			a.tmpfs("0755", s.size(i), path)
		}
	}
	a.add("--perms", "0755", "--dir", insideDir)
	a.add("--ro-bind", l.options.Sandboxd, insideAgent)
	a.add("--ro-bind", filepath.Join(dir, socketName), insideSocket)
	a.file(files.data(string(l.ca())), insideCA)
	for name, path := range cg.visible() {
		a.add("--ro-bind", path, filepath.Join(insideCgroup, name))
	}
	a.add("--remount-ro", "/", "--chdir", s.WritablePaths[0], "--")

	a.add(insideAgent, "--gateway=unix:"+insideSocket, "--ca-file="+insideCA, "--server-name="+l.options.ServerName,
		"--token-fd="+strconv.Itoa(fds.token), "--lifeline-fd="+strconv.Itoa(fds.lifeline),
		"--memory-limit="+strconv.FormatUint(s.MemoryBytes, 10), "--pids-limit="+strconv.FormatUint(s.Pids, 10), "--tmpfs-apart")
	if !slices.Contains(cg.enforced, "cpu") {
		a.add("--guest-nice=" + strconv.Itoa(sharedNice))
	}
	if len(cg.visible()) > 0 {
		a.add("--cgroup-dir=" + insideCgroup)
	}
	for _, path := range s.WritablePaths {
		a.add("--writable-path=" + path)
	}
	for _, setting := range append([]string{"HOME=" + s.WritablePaths[0], "USER=sandbox", "TMPDIR=/tmp"}, s.Env...) {
		a.add("--env=" + setting)
	}
	return a
}

type arguments []string

func (a *arguments) add(words ...string) { *a = append(*a, words...) }

// file copies what a descriptor has to a path of the root, which is read-only once it
// is laid out.
func (a *arguments) file(fd int, path string) {
	a.add("--perms", "0444", "--file", strconv.Itoa(fd), path)
}

// Bounds of what is copied into each sandbox, whose memory it is.
const (
	smallFile = 16 << 10
	smallDir  = 4 // files, and no directory among them
)

// small has what is at the host's path copied if it is small, else bound in, and
// nothing if nothing is there.
func (a *arguments) small(files *descriptors, host, path string) {
	info, err := os.Stat(host)
	if err != nil {
		return
	}
	if !info.IsDir() {
		if fd, ok := files.copied(host, info); ok {
			a.file(fd, path)
			return
		}
		a.add("--ro-bind-try", host, path)
		return
	}
	entries, err := os.ReadDir(host)
	if err != nil || len(entries) > smallDir || !isFiles(entries) {
		a.add("--ro-bind-try", host, path)
		return
	}
	a.add("--perms", "0755", "--dir", path)
	for _, e := range entries {
		a.small(files, filepath.Join(host, e.Name()), filepath.Join(path, e.Name()))
	}
}

func isFiles(entries []os.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !e.Type().IsRegular() })
}

func (a *arguments) tmpfs(mode string, size uint64, path string) {
	a.add("--perms", mode, "--size", strconv.FormatUint(size, 10), "--tmpfs", path)
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// passwd and group name the one user inside.
func passwd(s *Spec) string {
	return fmt.Sprintf("root:x:0:0:root:/:/usr/sbin/nologin\nsandbox:x:%d:%d:sandbox:%s:/bin/sh\n", s.User, s.Group, s.WritablePaths[0])
}

func group(s *Spec) string { return fmt.Sprintf("root:x:0:\nsandbox:x:%d:\n", s.Group) }

const hosts = "127.0.0.1 localhost sandbox\n::1 localhost\n"
