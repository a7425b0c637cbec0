// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policies holds the ValidatingAdmissionPolicies of artifacts/deploy
// against what they are for, without a cluster: the plugin is that of the
// kube-apiserver, and the objects are those that the launchers make.
//
// Laws:
//   - Whatever the controller makes as deployed is let through: a policy that
//     refuses that is an outage.
//   - Whatever a controller that was taken over might make of it is refused.
//   - Nobody else is touched.
package policies
