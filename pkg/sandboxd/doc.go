// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxd is the agent inside every sandbox. It dials the gateway, says
// who it is, and then serves the gateway's calls over that connection: processes,
// files, its own health. It listens on nothing.
//
// The guest runs beside it under the same user and is hostile. What protects
// sandboxd from it:
//
//	attack                      answer
//	kill, kill -9 -1, kill -STOP  PID 1 of its namespace: what it does not handle
//	                            does not reach it, and it handles the rest (signals.go)
//	kill -STOP at birth         until its exec a command that was stopped is told to go
//	                            on (process/birth.go), and nothing that stops all
//	                            threads waits for it (collect.go)
//	ptrace, /proc/1/mem         not dumpable (harden.go)
//	prlimit, setpriority        a seccomp filter of its own (seccomp.Shield)
//	fork bomb                   rlimits; threads are made beforehand; the guest is
//	                            born behind sandboxd and runs at the lowest priority
//	                            (process/priority.go), and is ended at 90 % of the
//	                            pids limit, or when none are left (package guard)
//	memory                      the guest is ended at 90 % of the limit (package guard)
//	output without end          bounded logs (package process)
//	full disk                   sandboxd writes nothing but uploads
//	closed stdout and stderr    sandboxd's own writes are allowed to fail
//	links, .., magic links      openat2 beneath the writable paths (package files)
//	the token                   worth nothing without the instance secret, which is
//	                            in sandboxd's memory alone
//
// Laws:
//   - Work belongs to the sandbox, not to a connection: the connection is dialled
//     again for ever, with backoff, while processes run on.
//   - The imports are few: no Kubernetes, no flags library, no logging library.
//     sandboxd is in every sandbox, and below 10 MB of resident memory when it
//     rests: it gives back what work has left behind (trim.go). docs/benchmarks.md
//     has what it takes while it works.
package sandboxd
