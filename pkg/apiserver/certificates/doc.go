// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certificates is the server's own certificate authority: it signs
// the certificates that the API server and the gateway serve with, keeps its
// keys in the store, and replaces everything before it runs out.
//
// Laws:
//   - Serving keys never leave the process that made them. Authority keys live
//     in the store alone, encrypted as --encryption-provider-config says for
//     the resource credentials.internal.safebeam.dev.
//   - An authority signs only after it has been in the published bundle for
//     a tenth of its life, so that whoever reads the bundle that often never meets
//     a certificate it cannot verify.
//   - Two servers on one store agree on the authorities by compare-and-swap.
package certificates
