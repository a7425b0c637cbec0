// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics/legacyregistry"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Labels of the metrics. The result of a claim is hit, empty or failed.
const (
	labelNamespace = "namespace"
	labelPool      = "pool"
	labelResult    = "result"
	labelReason    = "reason"
)

const (
	// maxPools bounds the pools that have series of their own; all others share
	// otherPool.
	maxPools  = 200
	otherPool = "other"
)

// Metrics tell Prometheus what becomes of claims. Nil counts nothing.
type Metrics struct {
	shelf   *Shelf
	claims  *prometheus.CounterVec
	cold    *prometheus.CounterVec
	latency *prometheus.HistogramVec
	refill  *prometheus.HistogramVec
	ready   *prometheus.Desc
	hits    *prometheus.Desc

	mu    sync.Mutex
	pools map[types.NamespacedName]bool
}

// NewMetrics counts what a claim on the shelf comes to.
func NewMetrics(shelf *Shelf) *Metrics {
	const subsystem = "llmsafespace_warmpool"
	pool := []string{labelNamespace, labelPool}
	return &Metrics{
		shelf: shelf,
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "claims_total",
			Help: "Sandboxes that asked a pool for a pod: hit, empty where it had none, failed where one could not be bound.",
		}, append(pool, labelResult)),
		cold: prometheus.NewCounterVec(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "cold_total",
			Help: "Sandboxes that may use a warm pool and were made cold, by the reason of condition WarmPodBound.",
		}, []string{labelReason}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: "claim_duration_seconds",
			Help:    "Time from the request to the sandbox being stored Running on a warm pod.",
			Buckets: []float64{0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5},
		}, pool),
		refill: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Subsystem: subsystem, Name: "refill_lag_seconds",
			Help:    "Time from a claim to the Ready pod that makes up for it.",
			Buckets: []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300},
		}, pool),
		ready: prometheus.NewDesc(subsystem+"_ready_pods", "Pods that can be claimed now.", pool, nil),
		hits:  prometheus.NewDesc(subsystem+"_hit_ratio", "Share of the last hundred claims of a pool that found a pod.", pool, nil),
		pools: map[types.NamespacedName]bool{},
	}
}

// labels are those of a pool.
func (m *Metrics) labels(name types.NamespacedName) (namespace, pool string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.pools[name] {
		if len(m.pools) >= maxPools {
			return otherPool, otherPool
		}
		m.pools[name] = true
	}
	return name.Namespace, name.Name
}

func poolOf(pod *v1.WarmPod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Spec.PoolRef.Name}
}

func (m *Metrics) count(pool types.NamespacedName, result string) {
	namespace, name := m.labels(pool)
	m.claims.WithLabelValues(namespace, name, result).Inc()
}

func (m *Metrics) bound(pod *v1.WarmPod, took time.Duration) {
	if m == nil {
		return
	}
	m.count(poolOf(pod), "hit")
	namespace, name := m.labels(poolOf(pod))
	m.latency.WithLabelValues(namespace, name).Observe(took.Seconds())
}

func (m *Metrics) failed(pod *v1.WarmPod) {
	if m != nil {
		m.count(poolOf(pod), "failed")
	}
}

func (m *Metrics) missed(refusal *Refusal) {
	if m == nil {
		return
	}
	m.cold.WithLabelValues(refusal.Reason).Inc()
	if refusal.Pool.Name != "" {
		m.count(refusal.Pool, "empty")
	}
}

// Refilled records how long claims took to be made up for.
func (m *Metrics) Refilled(pool types.NamespacedName, lags []time.Duration) {
	if m == nil {
		return
	}
	namespace, name := m.labels(pool)
	for _, lag := range lags {
		m.refill.WithLabelValues(namespace, name).Observe(lag.Seconds())
	}
}

// Describe says nothing: what is shown comes and goes with the server.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{m.claims, m.cold, m.latency, m.refill} {
		c.Collect(metrics)
	}
	for _, p := range m.shelf.levels() {
		namespace, name := m.labels(p.pool)
		if name == otherPool && namespace == otherPool {
			continue // gauges of several pools are no gauge
		}
		metrics <- prometheus.MustNewConstMetric(m.ready, prometheus.GaugeValue, float64(p.ready), namespace, name)
		if p.hitRate != nil {
			metrics <- prometheus.MustNewConstMetric(m.hits, prometheus.GaugeValue, float64(*p.hitRate)/100, namespace, name)
		}
	}
}

// level is how a pool stands.
type level struct {
	pool    types.NamespacedName
	ready   int
	hitRate *int32
}

func (s *Shelf) levels() []level {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]level, 0, len(s.pools))
	for name, p := range s.pools {
		list = append(list, level{name, p.ready(), p.demand.hitRate()})
	}
	return list
}

// The registry that /metrics serves can be added to and not taken from, while a
// process may have several servers, one after the other. So one collector is
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

func (exposure) Describe(chan<- *prometheus.Desc) {}

func (exposure) Collect(metrics chan<- prometheus.Metric) {
	if m := exposed.Load(); m != nil {
		m.Collect(metrics)
	}
}
