// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"safebeam.dev/safebeam/pkg/standalone"
	"safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func newStore() *cobra.Command {
	command := &cobra.Command{
		Use:   "store",
		Short: "Check, save, restore and shrink the store of a data directory",
		Long: `Look after the bbolt store of a data directory whose server is stopped.

A running server is looked after through its API: kubectl get --raw /snapshot
saves the store while it is in use, and the server defragments it by itself.`,
	}
	dataDir := command.PersistentFlags().String("data-dir", standalone.NewOptions().DataDir(), "The data directory of the server.")
	dir := func() string { return storage.BBoltDir(*dataDir) }
	command.AddCommand(newCheck(dir), newSnapshot(dir), newRestore(dir), newDefrag(dir))
	return command
}

// onlyDataDir refuses arguments, of which a directory is the likely one.
func onlyDataDir(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, not %q: the data directory is named by --data-dir", command.CommandPath(), args[0])
	}
	return nil
}

func newCheck(dir func() string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Read all of the store and tell whether it is sound",
		Long: `Read every page, record and checksum of the store and tell what is in it.
Nothing is changed. Exits with 1 if something is wrong, and names it.`,
		Args: onlyDataDir,
		RunE: func(command *cobra.Command, _ []string) error {
			report, err := bbolt.Check(command.Context(), dir())
			if err != nil {
				return inUse(err)
			}
			fmt.Fprint(command.OutOrStdout(), report)
			return report.Err()
		},
	}
}

func newSnapshot(dir func() string) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Save the store to a file",
		Long: `Save the store to a file, which must not exist. It holds everything: objects,
logs, and the server's keys. It ends with a checksum, which restore verifies.`,
		Example: `  safebeam store snapshot safebeam-$(date +%F).snapshot
  kubectl get --raw /snapshot > safebeam.snapshot   # of a running server`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			ctx, stop := orderly(command.Context()) // half a file is removed
			defer stop()
			report, err := snapshot(ctx, dir(), args[0])
			if err != nil {
				return inUse(err)
			}
			fmt.Fprintln(command.OutOrStdout(), report)
			return nil
		},
	}
}

// snapshot leaves the whole file, durable, or none.
func snapshot(ctx context.Context, dir, name string) (report bbolt.SnapshotReport, err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return report, err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	if report, err = bbolt.Snapshot(ctx, dir, file); err != nil {
		return report, err
	}
	if err := file.Sync(); err != nil {
		return report, err
	}
	return report, syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func newRestore(dir func() string) *cobra.Command {
	bump := int64(0)
	command := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Make a store of a snapshot",
		Long: `Verify a snapshot and make a new store of it. The data directory must have no
store: move the old one away first. The snapshot may come on standard input; it
is kept in the data directory until it is verified.

The new store begins far beyond the revision of the snapshot, and without
history, so that clients of the old store are told to list anew instead of
believing that nothing has happened.`,
		Example: `  mv DATA_DIR/store DATA_DIR/store.old
  safebeam store restore --data-dir DATA_DIR safebeam.snapshot`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			file, remove, err := snapshotFile(args[0], command.InOrStdin(), filepath.Dir(dir()))
			if err != nil {
				return err
			}
			defer remove()
			report, err := bbolt.Restore(command.Context(), file, dir(), bump)
			if err != nil {
				return inUse(err)
			}
			fmt.Fprintln(command.OutOrStdout(), report)
			return nil
		},
	}
	command.Flags().Int64Var(&bump, "bump-revision", bump, fmt.Sprintf("By how much the revision is raised; at least, and by default, %d.", int64(bbolt.MinBump)))
	return command
}

// snapshotFile gives a name to a snapshot that comes on standard input: a whole
// one is told by its end.
func snapshotFile(name string, stdin io.Reader, dir string) (file string, remove func(), err error) {
	if name != "-" {
		return name, func() {}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	copied, err := os.CreateTemp(dir, "restore-*.snapshot")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.Remove(copied.Name()) } // what stays costs room, and nothing else
	if _, err := io.Copy(copied, stdin); err != nil {
		err = errors.Join(err, copied.Close())
		remove()
		return "", nil, fmt.Errorf("reading the snapshot: %w", err)
	}
	if err := copied.Close(); err != nil {
		remove()
		return "", nil, err
	}
	return copied.Name(), remove, nil
}

func newDefrag(dir func() string) *cobra.Command {
	return &cobra.Command{
		Use:   "defrag",
		Short: "Give unused space back to the file system",
		Long: `Write the store anew without its unused space, which needs room for both at a
time. A server does so by itself when it is worth it: this is for a disk that has
to have room now.`,
		Args: onlyDataDir,
		RunE: func(command *cobra.Command, _ []string) error {
			report, err := bbolt.Defrag(command.Context(), dir())
			if err != nil {
				return inUse(err)
			}
			fmt.Fprintln(command.OutOrStdout(), report)
			return nil
		},
	}
}

// inUse says what can be done about a store that a server has open.
func inUse(err error) error {
	if errors.Is(err, bbolt.ErrLocked) {
		return fmt.Errorf("%w (a running server's store is saved by: kubectl get --raw /snapshot)", err)
	}
	return err
}
