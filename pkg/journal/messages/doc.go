// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package messages keeps the message logs of conversations in the journal and
// renders them as the histories that providers are sent.
//
// Laws:
//   - The log is append-only. What leaves a history (a rolled-back turn, a
//     partial answer) stays in the log and is marked there.
//   - The messages of a turn are named by (turn UID, place in the turn), so
//     appending them may be repeated and adds each once.
//   - What was staged is read, durable by then: whoever was told that a turn has
//     put its messages into the log finds them there.
//   - A conversation has one running turn, so there is one writer per log.
//   - Rendering is a pure function of the log: the same log gives the same
//     history, so that a provider's prompt cache hits.
package messages
