// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation says what a valid object of llmsafespace.dev/v1 is.
//
// Laws:
//   - Functions are pure and see one object, for updates the old one too, and
//     for resources the server's Limits. They expect defaults to have been set.
//   - What contradicts itself, would have no effect, or is not built yet is
//     refused, not ignored.
//   - No value that reaches a command line, a path or a pod is taken that does
//     not follow the grammar of its field.
//   - What needs other objects is decided elsewhere: that a runtime or a
//     profile exists, that a sandbox stays within its profile.
package validation
