// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the committer does.
type metrics struct {
	commits     atomic.Int64
	records     atomic.Int64
	recordBytes atomic.Int64
	syncNanos   atomic.Int64
	writeNanos  atomic.Int64

	syncSeconds  prometheus.Histogram
	batchRecords prometheus.Histogram
	batchBytes   prometheus.Histogram
}

func (m *metrics) init() {
	m.syncSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "safebeam", Subsystem: "store", Name: "log_sync_duration_seconds",
		Help: "Time that one fdatasync of the log took.", Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
	})
	m.batchRecords = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "safebeam", Subsystem: "store", Name: "commit_records",
		Help: "Records in one group commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 12),
	})
	m.batchBytes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "safebeam", Subsystem: "store", Name: "commit_bytes",
		Help: "Bytes of the records in one group commit.", Buckets: prometheus.ExponentialBuckets(256, 4, 9),
	})
}

func (m *metrics) committed(b *batch, write, sync time.Duration) {
	m.commits.Add(1)
	m.records.Add(int64(b.count))
	m.recordBytes.Add(b.bytes)
	m.writeNanos.Add(int64(write))
	m.syncNanos.Add(int64(sync))
	m.syncSeconds.Observe(sync.Seconds())
	m.batchRecords.Observe(float64(b.count))
	m.batchBytes.Observe(float64(b.bytes))
}

// Stats is a reading of the store's counters.
type Stats struct {
	// Revision is the head, CompactRevision where history begins.
	Revision, CompactRevision int64
	// Keys is the number of live keys.
	Keys int64
	// Commits is the number of group commits: each is one write and one sync of
	// the log. Records and RecordBytes are what they held.
	Commits, Records, RecordBytes int64
	// Syncs counts all syncs: of commits, of prepared segments, and two for each
	// transaction of a checkpoint.
	Syncs int64
	// WriteTime and SyncTime are what the commits have spent in the kernel.
	WriteTime, SyncTime time.Duration
	// Checkpoints is the number of finished checkpoints; DirtyBytes is the log
	// that awaits the next.
	Checkpoints, DirtyBytes int64
	// LogBytes and CheckpointBytes are what the files take.
	LogBytes, CheckpointBytes int64
	// HistoryBytes and HistoryEvents are the recent events in memory.
	HistoryBytes, HistoryEvents int64
	// Watchers is the number of open watches.
	Watchers int64
}

// Stats returns the store's counters.
func (db *DB) Stats() Stats {
	head := db.head.Load()
	s := Stats{
		Revision: head.rev, CompactRevision: db.CompactRevision(), Keys: int64(head.view.len()),
		Commits: db.metrics.commits.Load(), Records: db.metrics.records.Load(), RecordBytes: db.metrics.recordBytes.Load(),
		Syncs:     db.wal.fsyncs.Load(),
		WriteTime: time.Duration(db.metrics.writeNanos.Load()), SyncTime: time.Duration(db.metrics.syncNanos.Load()),
		Checkpoints: db.ckpt.count.Load(), LogBytes: db.wal.bytes(), CheckpointBytes: db.checkpoint.bytes.Load(),
		Watchers: db.pub.watched.Load(),
	}
	db.mu.Lock()
	s.DirtyBytes = db.dirtyBytes
	db.mu.Unlock()
	db.pub.mu.RLock()
	s.HistoryBytes, s.HistoryEvents = db.pub.history.bytes, int64(len(db.pub.history.events))
	db.pub.mu.RUnlock()
	return s
}

// Collector returns the store's Prometheus metrics.
func (db *DB) Collector() prometheus.Collector { return collector{db} }

type collector struct{ db *DB }

// reading is a metric that is read from Stats.
type reading struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(Stats) float64
}

var readings = []reading{
	newReading("revision", "Current revision.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Revision) }),
	newReading("compact_revision", "Revision up to which history is gone.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.CompactRevision) }),
	newReading("keys", "Live keys.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.Keys) }),
	newReading("records_total", "Records written to the log.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Records) }),
	newReading("syncs_total", "Syncs of all files.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Syncs) }),
	newReading("checkpoints_total", "Finished checkpoints.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Checkpoints) }),
	newReading("dirty_bytes", "Log that awaits its checkpoint.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.DirtyBytes) }),
	newReading("log_bytes", "Size of the log's files.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.LogBytes) }),
	newReading("checkpoint_bytes", "Size of the checkpoint file.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.CheckpointBytes) }),
	newReading("history_bytes", "Recent events in memory.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.HistoryBytes) }),
	newReading("watchers", "Open watches.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.Watchers) }),
}

func newReading(name, help string, kind prometheus.ValueType, value func(Stats) float64) reading {
	return reading{prometheus.NewDesc("safebeam_store_"+name, help, nil, nil), kind, value}
}

var readyDesc = prometheus.NewDesc("safebeam_store_ready", "1 while the store takes writes.", nil, nil)

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range readings {
		ch <- g.desc
	}
	ch <- readyDesc
	for _, h := range c.histograms() {
		h.Describe(ch)
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.db.Stats()
	for _, g := range readings {
		ch <- prometheus.MustNewConstMetric(g.desc, g.kind, g.value(s))
	}
	ready := 0.0
	if c.db.Ready() == nil {
		ready = 1
	}
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready)
	for _, h := range c.histograms() {
		h.Collect(ch)
	}
}

func (c collector) histograms() []prometheus.Histogram {
	m := &c.db.metrics
	return []prometheus.Histogram{m.syncSeconds, m.batchRecords, m.batchBytes}
}
