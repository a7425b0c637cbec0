// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli has the user's commands: what kubectl runs as its plugins
// kubectl-create-turn, kubectl-create-conversation and kubectl-chat, and what
// safebeam has as create and chat. Those for sandboxes are in package sandbox.
//
// Laws:
//   - They talk the public API and nothing else, with the flags, kubeconfig and
//     output formats of kubectl.
//   - Standard output has what was asked for: the answer, or the object.
//     Everything else is on standard error.
//   - A turn that does not succeed is an error of the command that waited for
//     it. Leaving a command ends no turn, but Ctrl-C in a chat does.
//   - The name of a turn is chosen here, before the first request, so that a
//     request which is repeated after a broken connection makes one turn.
package cli
