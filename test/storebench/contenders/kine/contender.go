// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build contender

// Package kine pins the kine that storebench measures against, with SQLite by
// cgo. It is a module of its own to keep both out of the project's
// dependencies.
package kine

import _ "github.com/k3s-io/kine/pkg/app"
