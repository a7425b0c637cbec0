// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics/legacyregistry"
)

// The stages of a pod's start, each counted from the launch.
const (
	stageScheduled = "scheduled" // it has a node
	stageRunning   = "running"   // its container runs
)

// startDuration says where the time of a cold job goes, as the controller sees
// it: the pod's own times are whole seconds.
var startDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Namespace: "tightbeam", Name: "job_start_duration_seconds",
	Help:    "Time from the launch of a job until its pod was seen to be scheduled, and to run.",
	Buckets: prometheus.ExponentialBuckets(0.001, 2, 18), // 1 ms to 131 s
}, []string{"stage"})

func init() { legacyregistry.RawMustRegister(startDuration) }

// stages are those that a pod has entered from one sight to the next.
func stages(before, now *corev1.Pod) (entered []string) {
	if before.Spec.NodeName == "" && now.Spec.NodeName != "" {
		entered = append(entered, stageScheduled)
	}
	if before.Status.Phase == corev1.PodPending && now.Status.Phase == corev1.PodRunning {
		entered = append(entered, stageRunning)
	}
	return entered
}

// observeStart counts what a pod has entered.
func (l *Launcher) observeStart(before, now *corev1.Pod) {
	entered := stages(before, now)
	if len(entered) == 0 {
		return
	}
	job := l.jobOf(now)
	if job == nil {
		return
	}
	what, err := launched(job)
	if err != nil {
		return
	}
	for _, stage := range entered {
		startDuration.WithLabelValues(stage).Observe(max(l.options.Clock.Since(what.StartTime), 0).Seconds())
	}
}
