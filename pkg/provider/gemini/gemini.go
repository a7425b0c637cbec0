// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gemini will call gemini.
package gemini

import "safebeam.dev/safebeam/pkg/provider"

// New makes the provider.
func New(provider.Config) (provider.Provider, error) {
	return nil, provider.Errorf(provider.InvalidRequest, "provider gemini is not built in yet")
}
