// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity says who a request is from and what they may do, on a
// server that has no kube-apiserver to ask.
//
// Who: the bearer of the admin token, of a token of --token-auth-file, or of a
// client certificate of --client-ca-file. Nobody is anonymous.
//
// What: members of system:masters everything, members of safebeam:view,
// safebeam:edit and safebeam:admin what the default ClusterRoles of those
// names allow on a cluster, everybody discovery and health.
package identity
