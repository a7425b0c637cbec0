// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package live is what happens to sandboxes because of connections and of time.
// It makes a sandbox Running when its sandboxd is there and has been told what
// is its own, ends it when its time is over or nobody needed it for long enough,
// says when it cannot be reached, and hands the connected ones to exec, files
// and executions.
//
//	Pending, Creating ──connected, configured──► Running ──expiresAt──► Terminating (TimedOut)
//	                                               │ ├────idleTimeout──► Terminating (Idle)
//	                                               │ └──misbehaves─────► Lost (AgentMisbehaved)
//	                                               └─ away: stays Running, Ready=False (Disconnected)
//
// The rest of a sandbox's life is the controller's: pods, and why they went.
//
// Laws:
//   - Which sandbox a connection is, its pod's binding says; status is for display.
//   - Nobody gets a sandbox that is not Running: what is handed out was configured
//     for that very sandbox.
//   - It follows from the stored object alone what is to be done next, so that
//     every step may be the last one of this process. After a restart sandboxds come
//     back, Running ones stay Running, and what became due meanwhile is done.
//   - A sandbox is not idle while anything runs in it or goes in or out: an exec, an
//     execution, a transfer, or a process that one of them left behind. It ends no
//     earlier than idleTimeout after the last of that, and later by no more than the
//     time between two looks.
//   - Activity costs at most one write a minute and sandbox.
//   - All writes of sandboxes pass Wrap, which sees them in the order in which they
//     were made, by resource version.
package live
