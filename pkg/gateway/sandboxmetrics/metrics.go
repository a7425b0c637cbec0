// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxmetrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/executions"
	"safebeam.dev/safebeam/pkg/gateway/exposition"
	"safebeam.dev/safebeam/pkg/gateway/live"
)

const namespace = "llmsafespace"

// Labels of the metrics.
const (
	labelReason    = "reason"
	labelRuntime   = "runtime"
	labelWarm      = "warm_pod_used"
	labelType      = "type"
	labelStatus    = "status"
	labelState     = "state"
	labelResult    = "result"
	labelDirection = "direction"
	labelOperation = "operation"
)

// Gauges are what is counted when it is asked for.
type Gauges struct {
	Sandboxes  func() live.Counts
	Executions func() executions.Counts
}

// Metrics counts. It is the observer of live and of executions, and the meter of
// exec and files.
type Metrics struct {
	gauges           Gauges
	runtimes         bounded
	reasons          bounded
	executionReasons bounded

	created, deleted            prometheus.Counter
	failed, terminated          *prometheus.CounterVec
	startup                     *prometheus.HistogramVec
	executions                  *prometheus.CounterVec
	executionWait               prometheus.Histogram
	executionDuration           *prometheus.HistogramVec
	execOpen                    prometheus.Gauge
	execStart, execDuration     prometheus.Histogram
	execSessions, execBytes     *prometheus.CounterVec
	fileOperations, fileBytes   *prometheus.CounterVec
	fileDuration                *prometheus.HistogramVec
	execIn, execOut             prometheus.Counter
	fileIn, fileOut             prometheus.Counter
	sandboxesDesc, executesDesc *prometheus.Desc
	runningDesc                 *prometheus.Desc
}

// New returns metrics of which nothing has been counted.
func New(gauges Gauges) *Metrics {
	m := &Metrics{
		gauges: gauges,
		created: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "sandboxes_created_total",
			Help: "Sandboxes that were created."}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "sandboxes_deleted_total",
			Help: "Sandboxes whose objects are gone."}),
		failed: counter("sandboxes_failed_total", "Sandboxes that ended as they should not, Failed or Lost, by the reason.", labelReason),
		terminated: counter("sandboxes_terminated_total", "Sandboxes that ended as they should, by the reason: TimedOut, Idle, Deleted.",
			labelReason),
		startup: histogram("sandbox_startup_duration_seconds", "Time from a sandbox's creation until it could be used, by whether it got a warm pod.",
			labelRuntime, labelWarm),
		executions: counter("executions_total", "Executions that have ended, by whether they are code or a command, the sandbox's runtime, the phase and the reason.",
			labelType, labelRuntime, labelStatus, labelReason),
		executionWait: single("execution_wait_duration_seconds", "Time from an execution's creation until its process had started."),
		executionDuration: histogram("execution_duration_seconds", "Time from the start of an execution's process to its end.",
			labelType, labelStatus),
		execOpen: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "exec_sessions_open",
			Help: "Commands that run by exec now."}),
		execStart:    single("exec_start_duration_seconds", "Time from an exec's request until its process had started."),
		execDuration: single("exec_duration_seconds", "Time from an exec's request to the end of its process."),
		execSessions: counter("exec_sessions_total", "Commands by exec that have ended: succeeded, failed with an exit code, or error where they did not run to their end.",
			labelResult),
		execBytes: counter("exec_bytes_total", "Bytes of standard input (in) and output (out) of commands by exec.", labelDirection),
		fileOperations: counter("file_operations_total", "Requests for files, by the operation and the status of the answer.",
			labelOperation, labelStatus),
		fileDuration: histogram("file_operation_duration_seconds", "Time from a request for a file to the end of its answer.", labelOperation),
		fileBytes:    counter("file_bytes_total", "Bytes of files into (in) and out of (out) sandboxes.", labelDirection),
		sandboxesDesc: prometheus.NewDesc(namespace+"_sandboxes", "Sandboxes that are not over: pending until they can be used, running, disconnected where they run and their agent is away, terminating.",
			[]string{labelState}, nil),
		runningDesc:  prometheus.NewDesc(namespace+"_sandboxes_running", "Sandboxes that are Running, connected or not.", nil, nil),
		executesDesc: prometheus.NewDesc(namespace+"_executions", "Executions that have not ended: queued, or running.", []string{labelState}, nil),
	}
	m.execIn, m.execOut = m.execBytes.WithLabelValues("in"), m.execBytes.WithLabelValues("out")
	m.fileIn, m.fileOut = m.fileBytes.WithLabelValues("in"), m.fileBytes.WithLabelValues("out")
	// What is there from the beginning can be seen to rise.
	for _, reason := range []string{"TimedOut", "Idle", "Deleted"} {
		m.terminated.WithLabelValues(reason)
	}
	for _, reason := range []string{"OOMKilled", "Evicted", "NodeLost", "PodDeleted", "AgentFailed", "AgentNotConnected", "AgentMisbehaved"} {
		m.failed.WithLabelValues(m.reasons.label(reason))
	}
	for _, result := range []string{resultSucceeded, resultFailed, resultError} {
		m.execSessions.WithLabelValues(result)
	}
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// 1 ms to 524 s, by doubling.
var buckets = prometheus.ExponentialBuckets(0.001, 2, 20)

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

func single(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

// SandboxCreated implements live.Observer.
func (m *Metrics) SandboxCreated(*v1.Sandbox) { m.created.Inc() }

// SandboxStarted implements live.Observer.
func (m *Metrics) SandboxStarted(sandbox *v1.Sandbox) {
	if timings := sandbox.Status.Timings; timings != nil {
		m.startup.WithLabelValues(m.runtimes.label(sandbox.Status.RuntimeEnvironment), strconv.FormatBool(sandbox.Status.WarmPodRef != nil)).
			Observe((time.Duration(timings.ReadyMilliseconds) * time.Millisecond).Seconds())
	}
}

// SandboxEnded implements live.Observer.
func (m *Metrics) SandboxEnded(sandbox *v1.Sandbox) {
	counter := m.failed
	if sandbox.Status.Phase == v1.SandboxTerminated {
		counter = m.terminated
	}
	counter.WithLabelValues(m.reasons.label(sandbox.Status.Reason)).Inc()
}

// SandboxDeleted implements live.Observer.
func (m *Metrics) SandboxDeleted(*v1.Sandbox) { m.deleted.Inc() }

// ExecutionStarted implements executions.Observer.
func (m *Metrics) ExecutionStarted(waited time.Duration) { m.executionWait.Observe(waited.Seconds()) }

// ExecutionEnded implements executions.Observer.
func (m *Metrics) ExecutionEnded(execution *v1.Execution, sandbox *v1.Sandbox) {
	kind, status := "command", &execution.Status
	if execution.Spec.Code != "" {
		kind = "code"
	}
	runtime := ""
	if sandbox != nil {
		runtime = sandbox.Status.RuntimeEnvironment
	}
	m.executions.WithLabelValues(kind, m.runtimes.label(runtime), string(status.Phase), m.executionReasons.label(status.Reason)).Inc()
	if status.StartTime != nil && status.CompletionTime != nil {
		m.executionDuration.WithLabelValues(kind, string(status.Phase)).Observe(max(status.CompletionTime.Sub(status.StartTime.Time), 0).Seconds())
	}
}

var slot exposition.Slot

// Expose has /metrics show m, until hide is called.
func (m *Metrics) Expose() (hide func()) { return slot.Show(m) }

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.created, m.deleted, m.failed, m.terminated, m.startup,
		m.executions, m.executionWait, m.executionDuration,
		m.execOpen, m.execStart, m.execDuration, m.execSessions, m.execBytes,
		m.fileOperations, m.fileDuration, m.fileBytes,
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, collector := range m.collectors() {
		collector.Describe(ch)
	}
	ch <- m.sandboxesDesc
	ch <- m.runningDesc
	ch <- m.executesDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, collector := range m.collectors() {
		collector.Collect(ch)
	}
	gauge := func(desc *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
	}
	boxes := m.gauges.Sandboxes()
	gauge(m.sandboxesDesc, boxes.Pending, "pending")
	gauge(m.sandboxesDesc, boxes.Running-boxes.Disconnected, "running")
	gauge(m.sandboxesDesc, boxes.Disconnected, "disconnected")
	gauge(m.sandboxesDesc, boxes.Terminating, "terminating")
	gauge(m.runningDesc, boxes.Running)
	runs := m.gauges.Executions()
	gauge(m.executesDesc, runs.Queued, "queued")
	gauge(m.executesDesc, runs.Running, "running")
}
