// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package execution serves executions, their output and their cancellation.
//
// Laws:
//   - An execution belongs to the sandbox that has the name when it is made, by
//     its UID: one of the same name made later never adopts it.
//   - It is refused unless that sandbox is there and not over, and unless
//     something can run its code.
//   - What it runs never changes; how far it is, nobody but the server says.
package execution
