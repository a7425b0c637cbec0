// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"

	"safebeam.dev/safebeam/pkg/launcher"
)

// Neither has a label for the model: which one it is says its condition, and
// what it does say the metrics of its turns.
var (
	jobLaunches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "tightbeam", Name: "job_launches_total",
		Help: "Jobs launched, by whether they are kept warm, and by reason where that failed.",
	}, []string{"warm", "reason"})
	jobExits = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "tightbeam", Name: "job_exits_total",
		Help: "Jobs that have exited or were given up, by reason: Completed is of their own will.",
	}, []string{"reason"})
)

func init() { legacyregistry.RawMustRegister(jobLaunches, jobExits) }

// countLaunch counts a launch; reason is empty if it went well.
func countLaunch(job launcher.Job, reason string) {
	warm := "false"
	if job.Warm {
		warm = "true"
	}
	jobLaunches.WithLabelValues(warm, reason).Inc()
}

// countExit counts the exit of a job that is forgotten, once.
func countExit(jobs []launcher.Job, name string) {
	for _, job := range jobs {
		if job.Name == name && job.Exit != nil {
			jobExits.WithLabelValues(job.Exit.Reason).Inc()
		}
	}
}
