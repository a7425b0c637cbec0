// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package model serves tightbeammodels.
//
// Whoever creates a model or changes its spec must be allowed to get the
// Secret that it names: naming it means using it.
package model
