// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
)

// minHistoryRetention covers what reads of the past rely on: watch caches that
// resume after a pause, and their consistency check, which compares a list at
// an exact revision every seven and a half minutes at most.
const minHistoryRetention = 8 * time.Minute

// minHistoryBytes holds a few log segments.
const minHistoryBytes = 128 << 20

// BBoltOptions concern the embedded engine alone.
type BBoltOptions struct {
	// DataDir is the directory of the store. One process has it at a time.
	DataDir string
	// QuotaBytes is the disk space that the store may take, 0 for no limit.
	QuotaBytes int64
	// HistoryRetention is how long the past can be read and watched, as long
	// as it takes no more than HistoryMaxBytes.
	HistoryRetention time.Duration
	HistoryMaxBytes  int64
}

func newBBoltOptions() BBoltOptions {
	return BBoltOptions{
		DataDir:          "/var/lib/safebeam",
		HistoryRetention: 10 * time.Minute,
		HistoryMaxBytes:  1 << 30,
	}
}

func (o *BBoltOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir,
		"The directory that the bbolt engine keeps everything in. It must be on a device with working fsync and file locks, "+
			"and belongs to one server at a time.")
	fs.Int64Var(&o.QuotaBytes, "store-quota-bytes", o.QuotaBytes,
		"The disk space that the bbolt engine may take. Beyond it, creates and updates are refused and deletes are not. 0 is no limit.")
	fs.DurationVar(&o.HistoryRetention, "store-history-retention", o.HistoryRetention,
		"How long the bbolt engine keeps history, so that watches and paged lists can go on from the past.")
	fs.Int64Var(&o.HistoryMaxBytes, "store-history-max-bytes", o.HistoryMaxBytes,
		"The disk space that the bbolt engine's history may take, even if that cuts --store-history-retention short.")
}

func (o *BBoltOptions) validate() []error {
	var errs []error
	if !filepath.IsAbs(o.DataDir) {
		errs = append(errs, fmt.Errorf("--data-dir=%q must be an absolute path", o.DataDir))
	}
	if o.QuotaBytes < 0 {
		errs = append(errs, fmt.Errorf("--store-quota-bytes=%d must not be negative", o.QuotaBytes))
	}
	if o.HistoryRetention < minHistoryRetention {
		errs = append(errs, fmt.Errorf("--store-history-retention=%v must be at least %v, which watch caches rely on", o.HistoryRetention, minHistoryRetention))
	}
	if o.HistoryMaxBytes < minHistoryBytes {
		errs = append(errs, fmt.Errorf("--store-history-max-bytes=%d must be at least %d", o.HistoryMaxBytes, minHistoryBytes))
	}
	if o.QuotaBytes > 0 && o.QuotaBytes < o.HistoryMaxBytes {
		errs = append(errs, fmt.Errorf("--store-quota-bytes=%d leaves no room beside --store-history-max-bytes=%d", o.QuotaBytes, o.HistoryMaxBytes))
	}
	return errs
}
