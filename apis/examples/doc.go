// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package examples tests the manifests in artifacts/examples.
package examples
