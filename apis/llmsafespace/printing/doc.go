// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package printing has the tables of llmsafespace.dev/v1 that kubectl get
// shows, by the rules of its sibling for tightbeam.dev/v1.
package printing
