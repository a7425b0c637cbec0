// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"

	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// The registry that /metrics serves can be added to and not taken from, while
// a store may be opened again. So one collector is registered, and shows the
// store that was opened last.
var (
	exposed          atomic.Pointer[bbolt.DB]
	registerExposure = sync.OnceFunc(func() { legacyregistry.RawMustRegister(exposure{}) })
)

func exposeMetrics(db *bbolt.DB) {
	registerExposure()
	exposed.Store(db)
}

func hideMetrics(db *bbolt.DB) { exposed.CompareAndSwap(db, nil) }

type exposure struct{}

// Describe says nothing, which makes the collector an unchecked one: without a
// store there are no metrics.
func (exposure) Describe(chan<- *prometheus.Desc) {}

func (exposure) Collect(metrics chan<- prometheus.Metric) {
	if db := exposed.Load(); db != nil {
		db.Collector().Collect(metrics)
	}
}
