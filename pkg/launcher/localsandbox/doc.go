// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package localsandbox launches sandbox pods as bubblewrap sandboxes on this
// machine: what a pod is on a cluster is here a process tree that package
// bubblewrap starts.
//
// Laws:
//   - A pod has a random UID and a random token, made for it alone; the token
//     is good for as long as the pod is.
//   - The pods die with the process, kill -9 included (package bubblewrap). The
//     next process knows none of them.
//   - What cannot be honoured is said. Where running all the same would be less
//     safe, or would lose what somebody counts on, the pod is refused (high,
//     Localhost seccomp profiles, persistent storage); where it would merely be
//     able to do less, it runs, and Notes say what it lacks (the network,
//     limits that this process may not set).
//   - Images are not looked at: a sandbox has what the machine has in /usr, and
//     Runtimes says what that is.
package localsandbox
