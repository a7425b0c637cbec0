// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conversation serves conversations and their log.
//
// Laws:
//   - A conversation carries the finalizer Finalizer from its creation, so that
//     its turns and its log go before it does.
//   - A fork becomes visible with its log copied, or not at all; a dry run
//     copies nothing.
package conversation
