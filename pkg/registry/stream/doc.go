// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stream serves numbered records as NDJSON or as server-sent events:
// turns/log, turns/stream and conversations/log.
//
// Laws:
//   - A response holds each number at most once, in ascending order.
//   - A record is flushed as soon as it is there. Records that were there at
//     the same time share one flush.
//   - A failure before the first byte is a typed Status. After it the
//     connection is broken off, so that nobody takes a torn stream for a
//     whole one. A stream that ends without breaking off is at its end or was
//     ended by the server's shutdown: a reader that has not seen the end it
//     waits for comes back with ?after= or Last-Event-ID.
//   - The connection of a reader owns nothing but its cursor.
package stream
