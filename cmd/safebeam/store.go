// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newStore() *cobra.Command {
	return &cobra.Command{
		Use:   "store",
		Short: "Look after the store of a data directory",
	}
}
