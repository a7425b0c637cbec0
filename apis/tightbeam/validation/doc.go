// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation says what a valid object of tightbeam.dev/v1 is.
//
// Laws:
//   - Functions are pure and see one object, for updates the old one too. They
//     expect defaults to have been set.
//   - What contradicts itself or would have no effect is refused, not ignored.
//   - What needs other objects is decided elsewhere: that a conversation or a
//     model exists, that a tool result has its call in the history, that a
//     turn without messages follows one of the router.
package validation
