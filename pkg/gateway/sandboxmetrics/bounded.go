// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxmetrics

import "sync"

const (
	maxValues  = 50
	otherValue = "other"
)

// bounded bounds the values of a label: the first ones have their own.
type bounded struct {
	mu    sync.Mutex
	known map[string]bool
}

func (b *bounded) label(value string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known[value] {
		if len(b.known) >= maxValues {
			return otherValue
		}
		if b.known == nil {
			b.known = map[string]bool{}
		}
		b.known[value] = true
	}
	return value
}
