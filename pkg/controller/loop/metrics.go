// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-base/metrics/legacyregistry"
)

// reconciliation has one series for each loop and result. The queues' own
// metrics are client-go's: workqueue_depth and its kin, by the same name.
var reconciliation = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Namespace: "safebeam", Name: "reconciliation_duration_seconds",
	Help:    "Time that one sync of one object took, by loop and by result: success, conflict (it is tried again, nothing is wrong) or error.",
	Buckets: prometheus.ExponentialBuckets(0.001, 4, 8), // 1 ms to 16 s
}, []string{"loop", "result"})

func init() { legacyregistry.RawMustRegister(reconciliation) }

func observe(loop string, began time.Time, err error) {
	result := "success"
	switch {
	case apierrors.IsConflict(err):
		result = "conflict"
	case err != nil:
		result = "error"
	}
	reconciliation.WithLabelValues(loop, result).Observe(time.Since(began).Seconds())
}
