// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package app puts the aggregated API server together: package apiserver with
// the options of a server behind a kube-apiserver, the gateway beside it, and
// what makes both known to the cluster.
//
// Laws:
//   - It asks the kube-apiserver who somebody is and what they may do, and
//     reads namespaces, quotas and the configuration of admission. It has no
//     use for Secrets and Pods, and no role that shows it any.
//   - Nobody has to skip verification: the server makes its own authority and
//     writes it, by name, into the APIServices that lead to it.
//   - Admission does what this cluster's version can: a policy API that the
//     cluster does not serve is left out instead of being waited for.
package app
