// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Spec is what a process is started with.
type Spec struct {
	ID   string
	Argv []string
	// Env is the whole environment, "NAME=value".
	Env []string
	Dir string
	// Stdin opens a pipe, or the terminal, for what the gateway sends. Otherwise
	// stdin is /dev/null.
	Stdin bool
	TTY   *WindowSize
	// Output bounds what is kept of the output.
	Output OutputPolicy
	// Timeout ends the process; zero is none.
	Timeout time.Duration
	// Grace lies between SIGTERM and SIGKILL.
	Grace time.Duration
	// Detach ends a process that nobody is attached to for that long; zero never.
	Detach time.Duration
	// EndLeftover ends the leader's family once the leader has exited.
	EndLeftover bool
}

// DefaultGrace is the time between SIGTERM and SIGKILL.
const DefaultGrace = 2 * time.Second

// Bounds of a spec.
const (
	maxID   = 128
	maxArgs = 4096
)

// A StartError says why a process was not started.
type StartError struct {
	Reason StartReason
	Err    error
}

// StartReason classifies a StartError.
type StartReason int

const (
	Invalid StartReason = iota + 1
	NotFound
	PermissionDenied
	Exhausted
)

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

func refuse(reason StartReason, format string, args ...any) error {
	return &StartError{Reason: reason, Err: fmt.Errorf(format, args...)}
}

func (s *Spec) validate() error {
	switch {
	case s.ID == "" || len(s.ID) > maxID:
		return refuse(Invalid, "a process id has 1 to %d bytes", maxID)
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return refuse(Invalid, "no command")
	case len(s.Argv) > maxArgs:
		return refuse(Invalid, "%d arguments are over the limit of %d", len(s.Argv), maxArgs)
	case s.Timeout < 0 || s.Detach < 0:
		return refuse(Invalid, "a negative timeout")
	}
	for _, list := range [][]string{s.Argv, s.Env} {
		for _, word := range list {
			if strings.IndexByte(word, 0) >= 0 {
				return refuse(Invalid, "%q has a NUL byte", word)
			}
		}
	}
	return nil
}

// resolve finds argv[0] as execvp does, with the process's own PATH and directory.
func (s *Spec) resolve() (string, error) {
	name := s.Argv[0]
	if strings.ContainsRune(name, '/') {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.Dir, path)
		}
		if err := executable(path); err != nil {
			return "", err
		}
		return path, nil
	}
	var denied error
	for _, dir := range filepath.SplitList(getenv(s.Env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		err := executable(path)
		if err == nil {
			return path, nil
		}
		var se *StartError
		if errors.As(err, &se) && se.Reason == PermissionDenied {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", refuse(NotFound, "%q is not in PATH", name)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return refuse(NotFound, "%s: no such file", path)
	case err != nil:
		return refuse(PermissionDenied, "%w", err)
	case info.IsDir():
		return refuse(PermissionDenied, "%s is a directory", path)
	case info.Mode()&0o111 == 0:
		return refuse(PermissionDenied, "%s is not executable", path)
	}
	return nil
}

// getenv is the last setting of name, which is the one that counts.
func getenv(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// forkError classifies what fork or exec said.
func forkError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return refuse(Exhausted, "starting %s: %w", path, err)
	case errors.Is(err, syscall.ENOENT):
		return refuse(NotFound, "starting %s: %w", path, err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return refuse(PermissionDenied, "starting %s: %w", path, err)
	}
	return refuse(Invalid, "starting %s: %w", path, err)
}
