// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver assembles the API server: the served groups on a store,
// the broker that runs turns, health, limits and the order of its end.
//
// Options are in the package options, as flags; New makes a server of a
// completed Config, and Run runs it. What runs beside it is its client, with
// requests as anybody's; only what comes with every turn does not go through a
// connection of the server to itself (NewClient, writeStatus).
//
// Laws:
//   - Everything that the server owns has been recovered before the first
//     request is taken.
//   - It ends in this order: readiness turns off and streams end, its own
//     clients end (controllers, and with them the jobs), no new request is
//     taken, the requests in flight return, the gateway and the broker stop,
//     the storages close. The store itself belongs to whoever opened it and
//     closes after Run has returned.
package apiserver
