// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ttl deletes what has outlived its use: finished turns, executions and
// sandboxes after ttlSecondsAfterFinished, conversations after
// ttlSecondsAfterLastTurn.
//
// Laws:
//   - When an object expires is a function of the object alone. Nothing is
//     polled: each object is looked at again when it expires, or has changed.
//   - Only the very version that was judged is deleted (preconditions on UID
//     and resourceVersion); one that changed meanwhile is judged anew.
//   - What has no lifetime, or has not ended, is never deleted.
package ttl
