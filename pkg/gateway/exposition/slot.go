// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package exposition has /metrics show the metrics of the server that runs. The
// registry behind it can be added to and not taken from, while a process may have
// several servers, one after the other: so what is registered is a Slot, which
// shows the metrics that were put into it last, or none.
package exposition

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Slot is a variable of a package that has metrics.
type Slot struct {
	register sync.Once
	shown    atomic.Pointer[prometheus.Collector]
}

// Show has /metrics show what collector collects, until hide is called.
func (s *Slot) Show(collector prometheus.Collector) (hide func()) {
	s.register.Do(func() { legacyregistry.RawMustRegister(s) })
	shown := &collector
	s.shown.Store(shown)
	return func() { s.shown.CompareAndSwap(shown, nil) }
}

// Describe says nothing, which makes the collector an unchecked one: without a
// server there are no metrics.
func (*Slot) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *Slot) Collect(metrics chan<- prometheus.Metric) {
	if collector := s.shown.Load(); collector != nil {
		(*collector).Collect(metrics)
	}
}
