// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox serves sandboxes and what is done in them.
package sandbox
