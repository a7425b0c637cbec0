// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxmetrics

import (
	"strconv"
	"time"
)

// Results of execs.
const (
	resultSucceeded = "succeeded"
	resultFailed    = "failed"
	resultError     = "error"
)

// ExecOpened implements the meter of the registry of sandboxes.
func (m *Metrics) ExecOpened() { m.execOpen.Inc() }

// ExecStarted implements it.
func (m *Metrics) ExecStarted(after time.Duration) { m.execStart.Observe(after.Seconds()) }

// ExecBytes implements it.
func (m *Metrics) ExecBytes(in, out int) {
	m.execIn.Add(float64(in))
	m.execOut.Add(float64(out))
}

// ExecClosed implements it. The code is that of the process, if it ended.
func (m *Metrics) ExecClosed(after time.Duration, ended bool, code int) {
	m.execOpen.Dec()
	result := resultError
	if ended {
		m.execDuration.Observe(after.Seconds())
		if result = resultSucceeded; code != 0 {
			result = resultFailed
		}
	}
	m.execSessions.WithLabelValues(result).Inc()
}

// operations are those that have a name; nobody makes others.
var operations = map[string]string{"GET": "get", "HEAD": "head", "PUT": "put", "DELETE": "delete"}

// FileBytes implements it.
func (m *Metrics) FileBytes(in, out int) {
	m.fileIn.Add(float64(in))
	m.fileOut.Add(float64(out))
}

// FileServed implements it.
func (m *Metrics) FileServed(method string, code int, after time.Duration) {
	operation, ok := operations[method]
	if !ok {
		operation = otherValue
	}
	m.fileOperations.WithLabelValues(operation, strconv.Itoa(code)).Inc()
	m.fileDuration.WithLabelValues(operation).Observe(after.Seconds())
}
