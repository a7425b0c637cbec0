// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package vfs

import "os"

func datasync(f *os.File) error { return f.Sync() }
