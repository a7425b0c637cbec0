// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// complete adds what no package has: what maintainer scripts would have made,
// accounts, root certificates and places to write to.
func (u *unpacker) complete(r recipe, installed []byte) error {
	for _, name := range []string{
		"dev", "etc/ssl/certs", "proc", "root", "run", "sys", "tmp", "usr/local/bin", "usr/local/lib", "var/lib/dpkg", "var/tmp", "workspace",
	} {
		if err := u.folder(name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.links)) {
		target := r.links[name]
		if _, err := u.root.Stat(path.Join(path.Dir(name), target)); err != nil {
			return fmt.Errorf("the target of the link %s: %w", name, err)
		}
		if err := u.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := u.root.Symlink(target, name); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"etc/passwd": fmt.Sprintf("root:x:0:0:root:/root:/usr/sbin/nologin\nsandbox:x:%[1]d:%[1]d:sandbox:/workspace:/bin/bash\n"+
			"nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n", sandboxUser),
		"etc/group":                         fmt.Sprintf("root:x:0:\ntty:x:5:\nsandbox:x:%d:\nnogroup:x:65534:\n", sandboxUser),
		"etc/nsswitch.conf":                 "passwd: files\ngroup: files\nhosts: files dns\n",
		"etc/ssl/certs/ca-certificates.crt": string(roots()),
		// For what looks for flaws in images.
		"var/lib/dpkg/status": string(installed),
	} {
		if err := u.root.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
		if err := u.root.Chmod(name, 0o644); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 { // else the checks run as the owner of it all
		if err := u.root.Chown("workspace", sandboxUser, sandboxUser); err != nil {
			return err
		}
	}
	return errors.Join(u.root.Chmod("tmp", fs.ModeSticky|0o777), u.root.Chmod("var/tmp", fs.ModeSticky|0o777))
}

// control appends a package to dpkg's list of what is installed.
func control(ctx context.Context, file string, list *bytes.Buffer) error {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--field", file).Output()
	if err != nil {
		return fmt.Errorf("dpkg-deb --field %s: %w", file, err)
	}
	first, rest, _ := strings.Cut(string(out), "\n")
	fmt.Fprintf(list, "%s\nStatus: install ok installed\n%s\n\n", first, strings.TrimSpace(rest))
	return nil
}

// runIn runs a command in a root, as the user of that id there. Without
// privileges that is a user namespace's matter.
func runIn(ctx context.Context, root string, user int, at time.Time, words []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "/usr/bin/env", words...)
	command.Dir = "/"
	command.Env = []string{
		"PATH=" + searchPath, "LANG=C.UTF-8", "HOME=/tmp",
		"PYTHONHASHSEED=0", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(at.Unix(), 10),
	}
	attributes := &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
	} else {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getegid(), Size: 1}}
	}
	command.SysProcAttr = attributes
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("in the image, %s: %w\n%s", strings.Join(words, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// entriesOf is what is in a root, for the layer of an image.
func entriesOf(dir string) ([]entry, error) {
	var entries []entry
	err := filepath.WalkDir(dir, func(file string, found fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil || name == "." {
			return err
		}
		info, err := found.Info()
		if err != nil {
			return err
		}
		e := entry{name: name, mode: int64(info.Mode().Perm())}
		switch {
		case info.IsDir():
			e.name += "/"
			if info.Mode()&fs.ModeSticky != 0 {
				e.mode |= 0o1000
			}
			if name == "workspace" {
				e.owner = sandboxUser
			}
		case info.Mode()&fs.ModeSymlink != 0:
			e.mode = 0o777
			if e.target, err = os.Readlink(file); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			e.from = file
		default:
			return fmt.Errorf("%s is a %s", name, info.Mode().Type())
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
