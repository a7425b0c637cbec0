// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turnmetrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
)

// Labels of the metrics.
const (
	labelNamespace = "namespace"
	labelModel     = "model"
	labelPhase     = "phase"
	labelClass     = "class"
	labelType      = "type"
	labelState     = "state"
)

// Metrics counts. It is fed by a turns.Observer.
type Metrics struct {
	// counts calls each with the numbers of every model.
	counts func(each func(namespace, model string, counts turns.ModelCounts))
	models models

	ended, attempts, tokens            *prometheus.CounterVec
	duration, queued, firstToken, told *prometheus.HistogramVec
}

// New returns metrics of which nothing has been counted. counts calls its
// argument with the numbers of every model.
func New(counts func(each func(namespace, model string, counts turns.ModelCounts))) *Metrics {
	model := []string{labelNamespace, labelModel}
	return &Metrics{
		counts: counts,
		ended: counter("turns_total", "Turns that have ended, by phase and, where they failed, by the class of the error.",
			append(model, labelPhase, labelClass)...),
		attempts: counter("attempts_total", "Attempts at turns that have ended, by the class of the error; none for those that succeeded or were cancelled.",
			append(model, labelClass)...),
		tokens: counter("tokens_total", "Tokens of ended attempts as the provider counted them: input, output, cache_read, cache_write.",
			append(model, labelType)...),
		duration:   histogram("turn_duration_seconds", "Time from a turn's creation to its end.", append(model, labelPhase)...),
		queued:     histogram("turn_queue_duration_seconds", "Time from a turn's creation to its first attempt: waiting for its conversation and for a job.", model...),
		firstToken: histogram("turn_first_token_seconds", "Time from a turn's creation to its first visible output.", model...),
		told:       histogram("attempt_first_token_seconds", "Time from an attempt's assignment to its first visible output: the job and the provider.", model...),
	}
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tightbeam", Name: name, Help: help}, labels)
}

// 1 ms to 524 s, by doubling.
var buckets = prometheus.ExponentialBuckets(0.001, 2, 20)

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "tightbeam", Name: name, Help: help, Buckets: buckets}, labels)
}

// TurnEnded counts a turn with its terminal phase.
func (m *Metrics) TurnEnded(turn *tightbeamv1.Turn) {
	status := &turn.Status
	namespace, model := m.models.label(turn.Namespace, status.Model)
	class := ""
	if status.Error != nil {
		class = classLabel(status.Error.Class)
	}
	m.ended.WithLabelValues(namespace, model, string(status.Phase), class).Inc()
	timings := status.Timings
	if timings == nil {
		return
	}
	m.duration.WithLabelValues(namespace, model, string(status.Phase)).Observe(milliseconds(timings.TotalMilliseconds))
	if status.StartTime != nil {
		m.queued.WithLabelValues(namespace, model).Observe(milliseconds(timings.QueuedMilliseconds))
	}
	if n := len(status.Attempts); n > 0 && status.Attempts[n-1].FirstTokenTime != nil {
		m.firstToken.WithLabelValues(namespace, model).Observe(milliseconds(timings.FirstTokenMilliseconds))
	}
}

// AttemptEnded counts an attempt.
func (m *Metrics) AttemptEnded(in string, attempt *tightbeamv1.TurnAttempt) {
	namespace, model := m.models.label(in, attempt.Model)
	class := ""
	if attempt.Error != nil {
		class = classLabel(attempt.Error.Class)
	}
	m.attempts.WithLabelValues(namespace, model, class).Inc()
	if first := attempt.FirstTokenTime; first != nil {
		m.told.WithLabelValues(namespace, model).Observe(max(first.Sub(attempt.StartTime.Time), 0).Seconds())
	}
	if usage := attempt.Usage; usage != nil {
		for kind, tokens := range map[string]int64{
			"input": usage.InputTokens, "output": usage.OutputTokens, "cache_read": usage.CacheReadTokens, "cache_write": usage.CacheWriteTokens,
		} {
			m.tokens.WithLabelValues(namespace, model, kind).Add(float64(max(tokens, 0)))
		}
	}
}

func milliseconds(n int64) float64 { return (time.Duration(n) * time.Millisecond).Seconds() }

var classes = map[tightbeamv1.ErrorClass]bool{
	tightbeamv1.ErrorOverloaded: true, tightbeamv1.ErrorRateLimited: true, tightbeamv1.ErrorQuotaExhausted: true,
	tightbeamv1.ErrorAuth: true, tightbeamv1.ErrorInvalidRequest: true, tightbeamv1.ErrorContextTooLong: true,
	tightbeamv1.ErrorTimeout: true, tightbeamv1.ErrorTruncated: true, tightbeamv1.ErrorNetwork: true,
	tightbeamv1.ErrorInternal: true, tightbeamv1.ErrorJobLost: true, tightbeamv1.ErrorDeadlineExceeded: true,
}

// classLabel: who may write status may write any class.
func classLabel(class tightbeamv1.ErrorClass) string {
	if classes[class] {
		return string(class)
	}
	return otherModel
}

var (
	turnsDesc = prometheus.NewDesc("tightbeam_turns", "Turns that have not ended: queued for a job, or running. Those that wait for their conversation are neither.",
		[]string{labelNamespace, labelModel, labelState}, nil)
	jobsDesc = prometheus.NewDesc("tightbeam_jobs_connected", "Jobs that are connected to the gateway.", []string{labelNamespace, labelModel}, nil)
)

func (m *Metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{m.ended, m.attempts, m.tokens, m.duration, m.queued, m.firstToken, m.told}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, vector := range m.vectors() {
		vector.Describe(ch)
	}
	ch <- turnsDesc
	ch <- jobsDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, vector := range m.vectors() {
		vector.Collect(ch)
	}
	// Models that share a label share a number, and one that has nothing to do
	// at the moment is at zero.
	sums := map[[2]string]turns.ModelCounts{}
	for _, key := range m.models.all() {
		sums[key] = turns.ModelCounts{}
	}
	m.counts(func(namespace, model string, c turns.ModelCounts) {
		namespace, model = m.models.label(namespace, model)
		sum := sums[[2]string{namespace, model}]
		sum.Jobs, sum.Queued, sum.Running = sum.Jobs+c.Jobs, sum.Queued+c.Queued, sum.Running+c.Running
		sums[[2]string{namespace, model}] = sum
	})
	for key, c := range sums {
		ch <- prometheus.MustNewConstMetric(turnsDesc, prometheus.GaugeValue, float64(c.Queued), key[0], key[1], "queued")
		ch <- prometheus.MustNewConstMetric(turnsDesc, prometheus.GaugeValue, float64(c.Running), key[0], key[1], "running")
		ch <- prometheus.MustNewConstMetric(jobsDesc, prometheus.GaugeValue, float64(c.Jobs), key[0], key[1])
	}
}
