// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package heads keeps one internal record per conversation, its head: the next
// position and the turns that are accepted and not finished, in order. The
// storage layer writes one key at a time, so the head is what makes the
// creation of a turn and its place in the queue one decision.
//
// Laws:
//   - A turn is claimed in the head before it is stored and released after
//     its terminal phase and its log are durable. A claim without a turn can
//     only be left by a crash and is dropped by recovery.
//   - Only the first claim of a head may run: one running turn per
//     conversation.
//   - A position is given out once.
//   - A closed head takes no claim: nothing is added to a conversation whose
//     deletion has begun to remove things.
package heads
