// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process runs the guest's processes for sandboxd.
//
// Laws:
//   - An id runs at most once; what ran stays known until it is released, or
//     until it is among the oldest of too many that have ended.
//   - Every process leads its own session and process group. When it is ended,
//     so are its group, its session and all descendants that can be found.
//   - The leader is not reaped before those are dealt with: as long as it is
//     unreaped the kernel gives its pid, and so its group id, to nobody else.
//   - Output is a numbered log of chunks that are kept until acknowledged. Its
//     size is bounded: by making the process wait (BACKPRESSURE), or by keeping
//     head and tail (CAPPED).
//   - No connection owns a process. An attachment comes and goes.
//   - The exit comes after all output that was written before it.
//
// sandboxd is PID 1, so a Manager reaps every child of its process, also those
// that it never started: two Managers, or os/exec beside one, do not go together.
package process
