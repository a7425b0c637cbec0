// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster tests Safebeam as it is installed by artifacts/deploy, on a
// real cluster: a kube-apiserver that aggregates it, a kubelet that mounts
// Secrets, RBAC, quota, garbage collection.
//
// It runs where E2E_KUBECONFIG names a cluster that has the images, or where
// E2E_CLUSTER=1 lets it boot hack/cluster; elsewhere it is skipped. `make
// e2e-cluster` makes the images and runs it.
package cluster
