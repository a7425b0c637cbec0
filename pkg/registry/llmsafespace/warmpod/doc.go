// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package warmpod serves warmpods.
//
// A warm pod begins Pending whatever its creator writes, and only a status write,
// which is the pool's loop's, makes it Ready: one that a user makes stays Pending.
package warmpod
