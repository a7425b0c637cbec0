// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox has the commands for sandboxes: what kubectl runs as its
// plugin kubectl-sandbox, and safebeam as sandbox. They make sandboxes, run code
// and commands in them, move files, and show what there is.
//
// Laws:
//   - They talk the public API and nothing else.
//   - Standard output has what the command in the sandbox wrote, or what was
//     asked for. Everything else is on standard error.
//   - The exit code of a command in a sandbox is the exit code of what ran it.
//   - What comes out of a sandbox is not trusted: files are written below the
//     place that was named and nowhere else, no link that leads out of it is
//     made, and names are shown without control characters.
//   - A sandbox that run has made goes with it, however it ends, unless it was
//     asked to keep it.
//   - The terminal is left as it was found.
package sandbox
