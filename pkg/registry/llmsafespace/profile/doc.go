// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package profile serves sandboxprofiles. A profile counts for sandboxes that are
// made later.
package profile
