// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"errors"
	"io"
	"path/filepath"
)

// BBoltDir is where the embedded engine keeps its files in a data directory.
func BBoltDir(dataDir string) string { return filepath.Join(dataDir, bboltFolder) }

// ErrNoSnapshot says that the engine's snapshots are its own affair.
var ErrNoSnapshot = errors.New("the store is an etcd cluster: save it with etcdctl snapshot save")

// Snapshot writes the state of the store to w, while it is in use.
func (f *Factory) Snapshot(ctx context.Context, w io.Writer) error {
	engine, ok := f.engine.(*bboltEngine)
	if !ok {
		return ErrNoSnapshot
	}
	_, err := engine.db.Snapshot(ctx, w)
	return err
}
