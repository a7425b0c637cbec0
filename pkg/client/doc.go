// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package client reads the streams that client-go's typed clients do not: the
// events of turns and of executions, as they happen, across every kind of broken
// connection.
//
// Laws:
//   - Events come in the order of their numbers, each once, whatever happens
//     to the connection in between.
//   - The sequence ends after the terminal event, or with one error.
//   - A line that was cut by a broken connection is never taken for an event.
//   - A reader holds no work: it may go away at any time.
//   - A stream that was opened beside the create of its turn differs in nothing
//     but the time.
package client
