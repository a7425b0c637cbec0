// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"safebeam.dev/safebeam/pkg/sandboxd/seccomp"
)

// A Gateway serves the sandboxes that dial a listener.
type Gateway interface {
	Serve(ctx context.Context, l net.Listener) error
}

// Options of a Launcher.
type Options struct {
	// Sandboxd is the path of the static binary. Every user must be able to reach
	// it if the launcher runs as root.
	Sandboxd string
	// StateDir is where each sandbox has its socket; it is made. A socket's path has
	// at most 107 bytes. It is this launcher's alone: what an earlier one has left
	// behind there is swept.
	StateDir string
	// Gateway serves the sandboxes.
	Gateway Gateway
	// CA is what the gateway's certificate comes from, ServerName what it is for.
	CA         []byte
	ServerName string
	// Bwrap is the path of bwrap; default: from PATH.
	Bwrap string
	// Root is the directory whose /usr is the system inside; default: "/".
	Root string
	// UIDBase is the first of MaxSandboxes user ids for sandboxes, if the launcher
	// runs as root. Default: 2000000000, above what distributions hand out. Two
	// launchers on one machine should not share a range.
	UIDBase uint32
	// MaxSandboxes bounds the sandboxes at one time. Default: 1000.
	MaxSandboxes int
}

// Launcher starts sandboxes.
type Launcher struct {
	options Options
	filter  []byte
	root    bool
	// lifeline and its other end are a pipe. This process alone has the other end,
	// so that sandboxes read the end of it when this process has ended.
	lifeline, otherEnd *os.File

	mu   sync.Mutex
	uids map[uint32]bool
	n    int
}

// New makes a launcher, having tried that bwrap can do what it has to.
func New(o Options) (*Launcher, error) {
	if o.Bwrap == "" {
		path, err := exec.LookPath("bwrap")
		if err != nil {
			return nil, errors.New("local sandboxes need bubblewrap, and there is no bwrap in PATH: install it (apt-get install bubblewrap)")
		}
		o.Bwrap = path
	}
	if o.Root == "" {
		o.Root = "/"
	}
	if o.UIDBase == 0 {
		o.UIDBase = 2_000_000_000
	}
	if o.MaxSandboxes <= 0 {
		o.MaxSandboxes = 1000
	}
	filter, err := seccomp.Sandbox().Bytes()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.Sandboxd); err != nil {
		return nil, fmt.Errorf("sandboxd: %w", err)
	}
	// Sockets are reached through bwrap's own eyes, which are not root's.
	if err := os.MkdirAll(o.StateDir, 0o711); err != nil {
		return nil, err
	}
	if err := os.Chmod(o.StateDir, 0o711); err != nil { // whatever the umask is
		return nil, err
	}
	l := &Launcher{options: o, filter: filter, root: os.Geteuid() == 0, uids: map[uint32]bool{}}
	if l.lifeline, l.otherEnd, err = os.Pipe(); err != nil {
		return nil, err
	}
	l.sweep()
	return l, l.try()
}

// try runs bwrap once with all its namespaces.
func (l *Launcher) try() error {
	cmd := exec.Command(l.options.Bwrap, "--unshare-all", "--uid", "1000", "--gid", "1000", "--ro-bind", l.options.Root, "/", "--proc", "/proc", "--dev", "/dev", "--as-pid-1", "--die-with-parent", "--", "/usr/bin/env", "true")
	cmd.SysProcAttr = l.credentials(l.options.UIDBase)
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bwrap cannot make a sandbox here (are user namespaces allowed? see kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces, or the container's seccomp profile): %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// takeUID gives a user id that no other sandbox has.
func (l *Launcher) takeUID() (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.options.MaxSandboxes {
		return 0, fmt.Errorf("%d sandboxes are running, which is the limit", l.n)
	}
	for i := range uint32(l.options.MaxSandboxes) {
		if uid := l.options.UIDBase + i; !l.uids[uid] {
			l.uids[uid] = true
			l.n++
			return uid, nil
		}
	}
	return 0, errors.New("no user id is free")
}

func (l *Launcher) freeUID(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.uids, uid)
	l.n--
}

// SetCA changes what sandboxes trust that are started from now on.
func (l *Launcher) SetCA(pem []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.options.CA = pem
}

func (l *Launcher) ca() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.options.CA
}

func (l *Launcher) dir(name string) string { return filepath.Join(l.options.StateDir, name) }
