// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package local runs jobs as child processes of this one, for a machine
// without Kubernetes. Secrets are directories of files below one directory;
// the process is told where its directory is, and this process never opens a
// file in it.
//
// Laws:
//   - A job runs in a process group of its own, with an environment of a few
//     named variables. Its token is in a file that only its user can read, is
//     good for the gateway alone, and is revoked when the job is gone.
//   - Run ends every job before it returns: SIGTERM, and after the grace
//     period SIGKILL to the whole group.
//   - A job outlives the sudden death of this process, since it may hold an
//     answer that is half way and can be delivered to the next one. The next
//     one takes it over under its old token if the gateway has the same
//     address, and else ends it. A job that finds no gateway for long leaves
//     by itself.
//   - What a job writes is kept in its directory, at most maxLog twice over;
//     the directories of the last keptJobs exited jobs stay for reading.
package local
