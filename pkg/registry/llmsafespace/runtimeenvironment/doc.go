// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package runtimeenvironment serves runtimeenvironments, the cluster-wide list of
// images that sandboxes are made from.
package runtimeenvironment
