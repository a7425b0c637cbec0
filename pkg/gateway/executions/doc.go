// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package executions runs Execution objects in their sandboxes: at most once,
// whatever becomes of who asked, of the server and of the sandbox.
//
//	create ─► Queued ──sandbox Running, a place is free──► Running ──exit──► Succeeded, Failed,
//	             │                                            │              TimedOut, Cancelled
//	             └──── cancel, sandbox over ──────────────────┴──────────► Cancelled, Lost
//
//	sandboxd ─chunks─► hub ─► live readers
//	                    └───► flusher ─► journal ─► older readers
//
// Laws:
//   - An execution starts at most once: Running, with the sandbox's UID, is durable
//     before the process starts, and after a restart a Running one is attached to
//     and never started. Its process has the execution's UID as its id, which
//     sandboxd starts once.
//   - It reaches exactly one terminal phase. The commit point is the write of that
//     status; all output is durable with it or before it, and the terminal event,
//     which is made from that status, is published after it. sandboxd forgets the
//     process after it, too.
//   - No event number names two different events. Chunks are numbered by sandboxd
//     without a hole, and an event's number is that of its chunk plus the Truncated
//     events before it, so that a chunk that is sent again gets the number it had.
//     Numbers are reserved durably in blocks before they are used; an execution that
//     is lost after a crash goes on past the reservation, behind Resumed {lostFrom,
//     lostTo}.
//   - sandboxd keeps a chunk until it is durable here. Chunks become durable in
//     batches over all executions, never by a sync each.
//   - What is kept of the output is bounded at its source, and in the status.
//   - A sandbox that is over takes its unfinished executions along: they are Lost,
//     with the sandbox's reason. One of the same name that is made later is another.
//   - A sandboxd that lies harms its own sandbox alone: what it says of an execution
//     is bounded and checked against what was asked, and one that says nothing is not
//     waited for.
//
// Lock order: execution.op (held over writes), then Runner.mu or execution.mu
// (never held over I/O).
package executions
