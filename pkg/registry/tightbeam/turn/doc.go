// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package turn serves turns, their stream of events, and their cancellation.
//
// Laws:
//   - A turn is refused unless its conversation exists and is not being
//     deleted, its model exists, and the user may use both.
//   - What a turn asks for never changes; its place, phase and model are the
//     server's.
//   - The name is the idempotency key: creating it again is a 409 that says
//     whether it is the same turn.
//   - A dry run claims no position.
package turn
