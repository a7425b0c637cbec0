// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turnmetrics

import "safebeam.dev/safebeam/pkg/gateway/exposition"

var slot exposition.Slot

// Expose has /metrics show m, until hide is called.
func (m *Metrics) Expose() (hide func()) { return slot.Show(m) }
