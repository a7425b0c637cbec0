// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package model serves tightbeammodels.
//
// Whoever creates a model or changes its spec must be allowed to get the
// Secret that it names, and to use the models that it falls back to: naming
// them means using them.
package model
