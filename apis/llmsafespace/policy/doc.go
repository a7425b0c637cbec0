// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy decides what a sandbox becomes by the objects that it names: the
// runtime environment that serves its runtime, and the profile that bounds it.
// It is pure.
//
// Laws:
//   - A profile is policy: a sandbox may tighten it, never loosen it. What the
//     sandbox leaves open, the profile fills in; what it sets is held against the
//     profile field by field.
//   - To apply a profile again changes nothing.
//   - Without a profile nothing is open that has to be opened by one: a seccomp
//     profile of the node is for those whose profile names it.
package policy
