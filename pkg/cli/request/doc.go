// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package request has what all commands for users share: where they work and
// as whom, how they create and print, and how they name and explain things.
//
// Laws:
//   - Flags, kubeconfig, namespaces and output formats are kubectl's.
//   - A request that is made again must be one that may be carried out twice.
//   - An error says what the user can do.
package request
