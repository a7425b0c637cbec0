// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pods has what jobs and sandboxes on a cluster share when they call: which
// pod a token is bound to, and how long a pod waits that calls before the
// controller has said whose it is.
//
// Laws:
//   - A token of another audience is no pod's, whatever else it may do.
//   - The pod's own word counts for nothing: who it is, the token says alone.
package pods
