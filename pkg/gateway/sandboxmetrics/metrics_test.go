// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxmetrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/executions"
	"safebeam.dev/safebeam/pkg/gateway/live"
)

func newMetrics(sandboxes live.Counts, runs executions.Counts) *Metrics {
	return New(Gauges{
		Sandboxes:  func() live.Counts { return sandboxes },
		Executions: func() executions.Counts { return runs },
	})
}

// scrape returns what Prometheus is shown.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	return recorder.Body.String()
}

func sandbox(phase v1.SandboxPhase, reason string) *v1.Sandbox {
	return &v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Namespace: "secret-namespace", Name: "secret-name"},
		Spec:       v1.SandboxSpec{User: "secret-user"},
		Status:     v1.SandboxStatus{Phase: phase, Reason: reason, RuntimeEnvironment: "python", Timings: &v1.SandboxTimings{ReadyMilliseconds: 3}},
	}
}

func TestSandboxesAreCountedByTheirEnd(t *testing.T) {
	t.Parallel()
	m := newMetrics(live.Counts{}, executions.Counts{})
	m.SandboxEnded(sandbox(v1.SandboxTerminated, "Idle"))
	m.SandboxEnded(sandbox(v1.SandboxLost, "OOMKilled"))
	m.SandboxEnded(sandbox(v1.SandboxFailed, "OOMKilled"))
	text := scrape(t, m)
	for _, want := range []string{
		`llmsafespace_sandboxes_terminated_total{reason="Idle"} 1`,
		`llmsafespace_sandboxes_terminated_total{reason="TimedOut"} 0`,
		`llmsafespace_sandboxes_failed_total{reason="OOMKilled"} 2`,
		`llmsafespace_sandboxes_failed_total{reason="NodeLost"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("want %s in\n%s", want, text)
		}
	}
}

func TestStartsAreToldByWhetherTheyWereWarm(t *testing.T) {
	t.Parallel()
	m := newMetrics(live.Counts{}, executions.Counts{})
	warm := sandbox(v1.SandboxRunning, "")
	warm.Status.WarmPodRef = &v1.ObjectReference{Name: "pod"}
	m.SandboxStarted(warm)
	m.SandboxStarted(sandbox(v1.SandboxRunning, ""))
	text := scrape(t, m)
	for _, warm := range []string{"true", "false"} {
		for bound, n := range map[string]int{"0.001": 0, "0.002": 0, "0.004": 1} {
			if want := fmt.Sprintf("llmsafespace_sandbox_startup_duration_seconds_bucket{runtime=\"python\",warm_pod_used=%q,le=%q} %d\n", warm, bound, n); !strings.Contains(text, want) {
				t.Errorf("want %s in\n%s", want, text)
			}
		}
	}
}

func TestExecutionsAreCountedByTheirEnd(t *testing.T) {
	t.Parallel()
	m := newMetrics(live.Counts{}, executions.Counts{})
	began := time.Unix(1700000000, 0)
	execution := &v1.Execution{Spec: v1.ExecutionSpec{Code: "1"}, Status: v1.ExecutionStatus{
		Phase: v1.ExecutionSucceeded, Reason: "Completed",
		StartTime: ptr.To(metav1.NewMicroTime(began)), CompletionTime: ptr.To(metav1.NewMicroTime(began.Add(3 * time.Millisecond))),
	}}
	m.ExecutionEnded(execution, sandbox(v1.SandboxRunning, ""))
	m.ExecutionEnded(&v1.Execution{Spec: v1.ExecutionSpec{Command: []string{"true"}}, Status: v1.ExecutionStatus{Phase: v1.ExecutionLost, Reason: "SandboxDeleted"}}, nil)
	if err := testutil.CollectAndCompare(m, strings.NewReader(`
# HELP llmsafespace_executions_total Executions that have ended, by whether they are code or a command, the sandbox's runtime, the phase and the reason.
# TYPE llmsafespace_executions_total counter
llmsafespace_executions_total{reason="Completed",runtime="python",status="Succeeded",type="code"} 1
llmsafespace_executions_total{reason="SandboxDeleted",runtime="",status="Lost",type="command"} 1
`), "llmsafespace_executions_total"); err != nil {
		t.Error(err)
	}
	if text := scrape(t, m); !strings.Contains(text, `llmsafespace_execution_duration_seconds_bucket{status="Succeeded",type="code",le="0.004"} 1`) {
		t.Errorf("its duration is not there:\n%s", text)
	}
}

func TestGaugesAreReadWhenTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	m := newMetrics(live.Counts{Pending: 1, Running: 5, Disconnected: 2, Terminating: 3}, executions.Counts{Queued: 4, Running: 6})
	if err := testutil.CollectAndCompare(m, strings.NewReader(`
# HELP llmsafespace_executions Executions that have not ended: queued, or running.
# TYPE llmsafespace_executions gauge
llmsafespace_executions{state="queued"} 4
llmsafespace_executions{state="running"} 6
# HELP llmsafespace_sandboxes Sandboxes that are not over: pending until they can be used, running, disconnected where they run and their agent is away, terminating.
# TYPE llmsafespace_sandboxes gauge
llmsafespace_sandboxes{state="disconnected"} 2
llmsafespace_sandboxes{state="pending"} 1
llmsafespace_sandboxes{state="running"} 3
llmsafespace_sandboxes{state="terminating"} 3
# HELP llmsafespace_sandboxes_running Sandboxes that are Running, connected or not.
# TYPE llmsafespace_sandboxes_running gauge
llmsafespace_sandboxes_running 5
`), "llmsafespace_executions", "llmsafespace_sandboxes", "llmsafespace_sandboxes_running"); err != nil {
		t.Error(err)
	}
}

func TestSeriesAreBoundedAndNameNobody(t *testing.T) {
	t.Parallel()
	m := newMetrics(live.Counts{}, executions.Counts{})
	for i := range 10 * maxValues {
		box := sandbox(v1.SandboxFailed, fmt.Sprintf("Reason%d", i))
		box.Status.RuntimeEnvironment = fmt.Sprintf("runtime%d", i)
		m.SandboxCreated(box)
		m.SandboxStarted(box)
		m.SandboxEnded(box)
		m.SandboxDeleted(box)
		m.ExecutionEnded(&v1.Execution{Status: v1.ExecutionStatus{Phase: v1.ExecutionFailed, Reason: fmt.Sprintf("Reason%d", i)}}, nil)
	}
	for _, name := range []string{"sandboxes_failed_total", "sandbox_startup_duration_seconds", "executions_total"} {
		if n := testutil.CollectAndCount(m, "llmsafespace_"+name); n > maxValues+1 {
			t.Errorf("%s has %d series", name, n)
		}
	}
	if text := scrape(t, m); strings.Contains(text, "secret") {
		t.Errorf("somebody is named:\n%s", text)
	}
}
