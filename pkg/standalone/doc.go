// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package standalone is the whole of Safebeam in one process on loopback: API
// server, gateway, controllers and the launcher of local jobs.
//
// Laws:
//   - The data directory and everything in it is its owner's alone, and
//     belongs to one process at a time.
//   - The kubeconfig is complete whenever it is there, and its credential
//     survives restarts.
//   - The process ends in this order: no new request and no open stream, the
//     jobs, the gateway, the broker, the store.
package standalone
