// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bindings keeps which pod is whose: pod UID ↔ Sandbox or WarmPod. The
// gateway routes by it and by nothing else; the status of objects is for
// display.
//
// Laws:
//   - A pod has one owner at a time. Claim is the one way to another: from a
//     WarmPod to a Sandbox, by compare-and-swap, once.
//   - An owner has one pod, for life: no second one is bound to it, not after
//     the first was dropped either.
//   - A pod that was dropped is nobody's for good. A late Bind does not revive
//     it: the tombstone outlives every request that was under way, and who
//     binds checks the owner besides.
//   - What ByPod, ByOwner, Await and List tell is durable.
//
// The records lie in the store, and all of them in memory besides: there is one
// active process on a store, and it reads them before it serves.
package bindings
