// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package events is what all numbered, resumable streams of events have in
// common, be they of turns or of executions: numbers that are reserved before
// they are used, a hub with the newest events for live readers, a flusher that
// makes them durable in batches, and readers that go from the journal to the
// hub and on.
//
//	source ─► Hub ──────────────► Reader ─► …
//	           │                    ▲
//	           └─► Flusher ─► journal
//
// Laws:
//   - No number names two different events. What a number names is the source's
//     business; Reservation sees to it that a crash leaves no doubt about which
//     numbers may have been seen.
//   - Events are shown to live readers before they are durable. The terminal
//     event is made from what ended the source, after that is durable, and is
//     never in the journal.
//   - No reader owns anything: a slow one reads from the journal.
package events
