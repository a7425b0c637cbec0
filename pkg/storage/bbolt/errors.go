// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by every error that says the files on disk are not
// what a crash can leave behind.
var ErrCorrupt = errors.New("the store is damaged")

// ErrLocked is wrapped by the error of an Open that found another process on
// the same directory.
var ErrLocked = errors.New("the store is in use")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the store is closed")

// remedy is what a person can do about a damaged store.
const remedy = "stop, keep a copy of the data directory, run `safebeam store check`, and restore the last snapshot with `safebeam store restore`"

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s; %s", ErrCorrupt, fmt.Sprintf(format, args...), remedy)
}
