// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package app runs the controllers on a cluster.
//
// Laws:
//   - One process at a time works: the one that holds the Lease. One that
//     loses it ends; whoever starts it again makes it a candidate anew.
//   - It reads no Secret. It names them in Jobs.
//   - It outlives an API server of ours that is away: it waits for it, and the
//     jobs that run go on meanwhile.
package app
