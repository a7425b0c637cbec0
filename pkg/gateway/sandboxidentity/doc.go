// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxidentity tells which pod a sandboxd speaks for. On a cluster it
// presents the token of its ServiceAccount, projected for our audience, and a
// TokenReview says which pod that is bound to; standalone it presents a random
// token that its launcher was given for it.
//
// Laws:
//   - A token of another audience is no sandbox's, whatever else it may do.
//   - The pod's own word counts for nothing: who it is, the token says alone. A
//     token that is stolen and used in another sandbox speaks for the pod that it
//     was given to, which has its live connection already.
//   - A pod that calls before its binding is there waits for it, at most
//     pods.Patience; it is sent away after that and may try again. A pod whose
//     binding was dropped is told that its sandbox is over.
package sandboxidentity
