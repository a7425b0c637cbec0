// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tracker keeps the objects of the fake clientset in pkg/generated, which
// hack/update-codegen.sh lets import it instead of client-go's.
//
// client-go's trackers do not know the resource of a kind, they guess it, and of
// Sandbox they make "sandboxs": an object that the fake is given cannot be read,
// and the tracker with managed fields takes none at all. These keep such objects
// under the guess, and call them in everything they say by their right name.
package tracker
