// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turnmetrics

import (
	"maps"
	"slices"
	"sync"
)

const (
	// maxModels have labels of their own: with 20 buckets in each histogram, some
	// hundred series a model.
	maxModels  = 200
	otherModel = "other"
)

// models bounds the label values.
type models struct {
	mu    sync.Mutex
	known map[[2]string]bool
}

// label returns what a model is called in the metrics.
func (m *models) label(namespace, model string) (string, string) {
	key := [2]string{namespace, model}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known[key] {
		if len(m.known) >= maxModels {
			return otherModel, otherModel
		}
		if m.known == nil {
			m.known = map[[2]string]bool{}
		}
		m.known[key] = true
	}
	return namespace, model
}

// all returns the models that have labels of their own.
func (m *models) all() [][2]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.known))
}
