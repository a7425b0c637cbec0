// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e uses the programs as their users do: a real standalone server,
// real jobs, a real kubectl with our plugins on PATH. KUBECTL names the kubectl
// to use; by default it is bin/kubectl, which `make kubectl` builds.
package e2e
