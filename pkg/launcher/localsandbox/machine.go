// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// MachineOptions are what this machine's sandboxes need.
type MachineOptions struct {
	// Sandboxd is the path of the static binary.
	Sandboxd string
	// DataDir names the installation: two of them on one machine do not share
	// user ids or sockets.
	DataDir string
	Gateway bubblewrap.Gateway
	// CA is what the gateway's certificate comes from, ServerName what it is for.
	CA           []byte
	ServerName   string
	MaxSandboxes int
}

// BubblewrapMachine is this machine.
type BubblewrapMachine struct {
	*bubblewrap.Launcher
	dir string
}

// Close removes what NewMachine made: it has a copy of sandboxd, and nobody knows
// the directory but a next process of the same installation.
func (m BubblewrapMachine) Close() error { return os.RemoveAll(m.dir) }

// Start starts a sandbox.
func (m BubblewrapMachine) Start(ctx context.Context, spec bubblewrap.Spec) (Process, error) {
	return m.Launcher.Start(ctx, spec)
}

const (
	// Sockets have paths of at most 107 bytes, and as root every sandbox's own
	// user has to reach its own, so they are not in the data directory.
	stateDirPrefix = "safebeam-"
	// firstUID and lastUID are above what distributions hand out, and below
	// what some tools take for negative.
	firstUID = 2_000_000_000
	lastUID  = 2_147_000_000
)

// NewMachine prepares the machine: it tries bubblewrap, and removes what an
// earlier process of this installation left behind.
func NewMachine(o MachineOptions) (BubblewrapMachine, error) {
	if o.MaxSandboxes <= 0 {
		o.MaxSandboxes = DefaultMaxPods
	}
	sum := sha256.Sum256([]byte(o.DataDir))
	dir := filepath.Join(os.TempDir(), stateDirPrefix+hex.EncodeToString(sum[:6]))
	if err := claimDir(dir); err != nil {
		return BubblewrapMachine{}, err
	}
	sandboxd := o.Sandboxd
	if os.Geteuid() == 0 {
		// The users of sandboxes must reach it, wherever it was installed.
		sandboxd = filepath.Join(dir, "sandboxd")
		data, err := os.ReadFile(o.Sandboxd)
		if err != nil {
			return BubblewrapMachine{}, err
		}
		if err := errors.Join(os.WriteFile(sandboxd, data, 0o755), os.Chmod(sandboxd, 0o755)); err != nil {
			return BubblewrapMachine{}, err
		}
	}
	slots := uint64(lastUID-firstUID) / uint64(o.MaxSandboxes)
	l, err := bubblewrap.New(bubblewrap.Options{
		Sandboxd: sandboxd, StateDir: filepath.Join(dir, "s"), Gateway: o.Gateway, CA: o.CA, ServerName: o.ServerName,
		MaxSandboxes: o.MaxSandboxes,
		UIDBase:      firstUID + uint32(binary.BigEndian.Uint64(sum[8:])%slots)*uint32(o.MaxSandboxes),
	})
	if err != nil {
		return BubblewrapMachine{}, errors.Join(err, os.RemoveAll(dir))
	}
	return BubblewrapMachine{l, dir}, nil
}

// claimDir makes the directory anew. Its name can be foreseen, so somebody else
// may have made it: then it is not ours to use.
func claimDir(dir string) error {
	if info, err := os.Lstat(dir); err == nil {
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s is in the way of the sandboxes' sockets, and is not this user's directory: remove it", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
}
