// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dirLock is an flock on DIR/LOCK, which names the process that holds it.
type dirLock struct{ f *os.File }

const lockName = "LOCK"

// A child that the holder was just starting when it was killed has a copy of the
// file until it has become another program.
const (
	orphanWait  = 5 * time.Second
	orphanRetry = 5 * time.Millisecond
)

// holderDied reports whether the process that the file names is gone.
func holderDied(path string) bool {
	content, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	return err == nil && pid > 0 && unix.Kill(pid, 0) == unix.ESRCH
}

// lockDir takes the lock or says who has it. The lock is tied to the open file
// and goes with the process, however it ends.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for deadline := time.Now().Add(orphanWait); err == unix.EWOULDBLOCK && holderDied(path) && time.Now().Before(deadline); {
		time.Sleep(orphanRetry)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		defer f.Close()
		if err != unix.EWOULDBLOCK {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		holder := "another process"
		if pid, err := os.ReadFile(path); err == nil && len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		return nil, fmt.Errorf("%w: %s holds %s; a store has one writer: stop that process or choose another data directory", ErrLocked, holder, path)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("writing %s: %w", path, err)
		}
	}
	return &dirLock{f}, nil
}

// release gives the lock up. The file stays: removing it would let two
// processes lock two files of one name. It is unlocked by name, as closing does
// not suffice while a child that is being started still has a copy of the file.
func (l *dirLock) release() error {
	err := unix.Flock(int(l.f.Fd()), unix.LOCK_UN)
	return errors.Join(err, l.f.Close())
}
