// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fit decides what the pods of a warm pool are made as, and which
// sandboxes they fit. It is pure: the pool's loop makes pods by it, the allocator
// hands them out by it.
//
// Laws:
//   - A pod fits if it is at least as large as asked, and in everything else that
//     a running pod cannot become it is exactly what is asked: no sandbox gets a
//     wider network or more writable paths than it names.
//   - Two pods with the same Template.Hash are the same, preloads included.
package fit
