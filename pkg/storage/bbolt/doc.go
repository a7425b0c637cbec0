// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bbolt is the embedded store: a small MVCC engine with a write-ahead
// log in front of a bbolt database, and the part of an etcd client that
// k8s.io/apiserver's etcd3 store calls on top of it, so that Kubernetes' own
// code keeps its semantics.
//
//	 stage ──► commit ──────────────► publish ──► answer
//	(decide,  (one write, one        (head, watch
//	 encode)   fdatasync per group)   queues)
//	                                     │ every few seconds, or 64 MB
//	                                     ▼
//	                                 checkpoint into bbolt
//
// The log holds every change with the state that it replaced, so it is the
// history that watches and reads at an exact revision are served from, with the
// most recent events in memory. bbolt holds the live keys, leases and journal
// records as of the last checkpoint; opening the store replays the log from
// there. The index of the live keys is in memory, values are as long as they
// are recent. docs/store-format.md specifies what is on disk.
//
// Laws:
//   - Nothing is answered, published or readable before it is durable. That
//     holds for refusals too. A session sees staged state and owes the wait:
//     see session.go.
//   - Revisions count changes of objects, one each, from 1 upward without gaps,
//     for the whole store. Journal records take none.
//   - What is durable is a prefix of what was staged, in the order of staging.
//   - A batch appears at once: head, watch queues and journal change under one
//     lock, before its writers are answered.
//   - A bookmark at X leaves a watch after every event of it up to X.
//   - A slow watcher holds up nobody: it falls back to the log.
//   - Writers slow down while checkpoints do not keep up, before what awaits
//     them reaches its bound.
//   - After a failed write or sync there are no more writes; no sync is tried
//     twice on a file.
//   - Recovery forgives a torn tail of the last segment, which was never
//     acknowledged, and nothing else.
//
// Lock order: checkpointer.mu, DB.mu, publisher.mu, wal.mu.
package bbolt
