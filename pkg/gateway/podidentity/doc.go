// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package podidentity tells which job a pod is, on a cluster.
//
// A pod presents the token of its ServiceAccount, projected for our audience.
// A TokenReview says that the token is good and which pod it is bound to; what
// that pod is there for says a record that the controller wrote when it saw
// the pod: pod UID → model.
//
// Laws:
//   - A token of another audience is no job's, whatever else it may do.
//   - The pod's own word counts for nothing: neither its name, nor its
//     ServiceAccount, nor what it says of itself.
//   - A pod that calls before its record is there waits for it, at most
//     pods.Patience; it is refused after that and may try again.
//   - A record stands for the model of its UID: a model of the same name that
//     was made later is not served by the old one's pods.
package podidentity
