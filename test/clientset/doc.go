// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clientset tests pkg/generated as those use it who program against
// Safebeam: their tests against the fake clientset, server-side apply included.
package clientset
