// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// held is the lock of a directory in the hands of somebody who wrote that pid.
func held(t *testing.T, pid int) (dir string, release func()) {
	t.Helper()
	dir = t.TempDir()
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, pid)
	return dir, func() { f.Close() }
}

func TestALockThatAChildOfAKilledHolderHasForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	dir, release := held(t, dead.Process.Pid)
	time.AfterFunc(20*time.Millisecond, release)
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.release(); err != nil {
		t.Error(err)
	}
}

func TestALockOfALivingProcessIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir, release := held(t, os.Getppid())
	defer release()
	began := time.Now()
	if _, err := lockDir(dir); !errors.Is(err, ErrLocked) || time.Since(began) >= orphanWait {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
