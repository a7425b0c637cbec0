// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gateway is the gRPC face of the server: the service that the seed's
// clients know, over TLS, for jobs and for agents.
//
// Laws:
//   - A caller is what its token says, never what its request says: the model
//     and the namespace of a job come from our own records.
//   - What an agent does here goes through the API server's own path, so that
//     authorization, admission, validation, quota and audit are the same as
//     over HTTP.
//   - The job of a channel can do what its TightbeamChannel says, and no more:
//     the turns that it causes are the server's own doing.
//   - A stop sends away at once who only waits.
//   - Nothing is read of a call's messages before its caller is known.
//   - Every message is bounded, every stream has an owner, nothing that a
//     client sends is a path, an address or an identity.
//   - A panic ends the process, here as in what goes on behind a call. What it was
//     in the middle of is guarded by locks that it may hold: a server that went on
//     could wait for them for ever, or serve what is half done, where one that is
//     started again recovers all that was acknowledged. So it is what is read
//     that must not be able to cause one, be it of a peer or of the store.
package gateway
