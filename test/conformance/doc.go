// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conformance proves the store at its two faces: storage.Interface,
// which everything above it uses, and the etcd client that Kubernetes' etcd3
// store is given.
//
// It has no code of its own but tests:
//   - the whole table of k8s.io/apiserver/pkg/storage/testing, as etcd3 runs
//     it, raw and through the watch cache, against our engine and against an
//     embedded etcd. The latter proves the table;
//   - what that table does not ask: random operations against both engines
//     side by side, linearizability of concurrent histories, the watch
//     cache's agreement with the store, kill -9, restored backups.
//
// Random tests print their seed. SAFEBEAM_SEED=n repeats one, SAFEBEAM_ROUNDS=n
// multiplies their length.
package conformance
