// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"
)

// BBoltOptions concern the embedded engine alone.
type BBoltOptions struct {
	// DataDir is the directory of the store. One process has it at a time.
	DataDir string
}

func newBBoltOptions() BBoltOptions {
	return BBoltOptions{DataDir: "/var/lib/safebeam"}
}

func (o *BBoltOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir,
		"The directory that the bbolt engine keeps everything in. It must be on a local or block device with working "+
			"fsync and file locks, and belongs to one server at a time.")
}

func (o *BBoltOptions) validate() []error {
	var errs []error
	if !filepath.IsAbs(o.DataDir) {
		errs = append(errs, fmt.Errorf("--data-dir=%q must be an absolute path", o.DataDir))
	}
	return errs
}

func openBBolt(BBoltOptions) (engine, error) {
	return nil, errors.New("the bbolt engine is not linked in yet")
}
