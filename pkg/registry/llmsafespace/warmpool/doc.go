// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package warmpool serves warmpools.
//
// Whoever offers a pool to another namespace, or changes the spec of one that is
// offered, must be allowed to create pools in that namespace: nobody gets hold of
// another's sandboxes by offering pods for them.
package warmpool
