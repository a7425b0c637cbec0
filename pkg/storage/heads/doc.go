// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package heads keeps one internal record per conversation, its head: the next
// position and the turns that are accepted and not finished, in order. The
// storage layer writes one key at a time, so the head is what makes the
// creation of a turn and its place in the queue one decision.
//
// Laws:
//   - A turn is claimed in the head before it is stored and released after
//     its terminal phase and its log are, in the order of the store's log.
//     Where the engine can order without waiting for the disk, a claim shares
//     the sync of the turn that it is for, and a release that of whatever is
//     written next. A claim without a turn can only be left by a crash and is
//     dropped by recovery; so is that of a turn that has ended.
//   - Only the first claim of a head may run: one running turn per
//     conversation.
//   - A position is given out once.
//   - A closed head takes no claim: nothing is added to a conversation whose
//     deletion has begun to remove things.
package heads
