// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turnmetrics

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"
)

// The registry that /metrics serves can be added to and not taken from, while
// a process may have several servers, one after the other. So one collector is
// registered, and shows the metrics that were exposed last.
var (
	exposed  atomic.Pointer[Metrics]
	register = sync.OnceFunc(func() { legacyregistry.RawMustRegister(exposure{}) })
)

// Expose has /metrics show m, until hide is called.
func (m *Metrics) Expose() (hide func()) {
	register()
	exposed.Store(m)
	return func() { exposed.CompareAndSwap(m, nil) }
}

type exposure struct{}

// Describe says nothing, which makes the collector an unchecked one: without a
// server there are no metrics.
func (exposure) Describe(chan<- *prometheus.Desc) {}

func (exposure) Collect(metrics chan<- prometheus.Metric) {
	if m := exposed.Load(); m != nil {
		m.Collect(metrics)
	}
}
