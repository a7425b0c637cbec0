// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Storebench measures the store against what else one could use, through
// storage.Interface and in one run on one disk: our engine, Kubernetes' etcd3
// store on a local etcd, and the same on kine with SQLite that syncs every
// commit.
//
// How it keeps the comparison fair:
//   - All contenders are open at the same time, and the rounds of one scenario
//     are interleaved: each contender once a round, in rotating order. A ratio
//     is that of two runs in the same round; what is printed is the median of
//     the rounds, with the extremes.
//   - Everybody answers after the fsync. A tmpfs, where that would cost
//     nothing, is refused.
//   - The contenders are other processes on loopback without TLS, as they are
//     meant to be run; ours is in this one, as it is meant to be. CPU is
//     therefore counted for client and server together. This process, with the
//     clients of all, collects its garbage at the pace that our server does
//     (pkg/apiserver/collector), unless GOGC says otherwise.
//   - fsyncs are counted by strace, for ours by the engine as well.
//   - The section slow runs all contenders under an strace that makes every
//     fsync and fdatasync take 2 ms longer.
//   - Kubernetes' own codec is used for the others, our server's for ours: it
//     does not parse an object twice to find its kind, which is a tenth of the
//     processor time of a create.
//
// Besides what people read it prints lines of the form "figure NAME VALUE UNIT".
package main
