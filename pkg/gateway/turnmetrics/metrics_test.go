// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turnmetrics

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

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
)

func none(func(namespace, model string, counts turns.ModelCounts)) {}

// scrape returns what Prometheus is shown.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	return recorder.Body.String()
}

func endedTurn(model string, phase tightbeamv1.TurnPhase, class tightbeamv1.ErrorClass) *tightbeamv1.Turn {
	begun := metav1.NowMicro()
	turn := &tightbeamv1.Turn{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "secret-name"}}
	turn.Status = tightbeamv1.TurnStatus{
		Phase: phase, Model: model, StartTime: &begun,
		Timings: &tightbeamv1.TurnTimings{QueuedMilliseconds: 1, TotalMilliseconds: 1500},
	}
	if class != "" {
		turn.Status.Error = &tightbeamv1.TurnError{Class: class}
	}
	return turn
}

func TestTurnsAreCountedByPhaseAndClass(t *testing.T) {
	t.Parallel()
	m := New(none)
	m.TurnEnded(endedTurn("m", tightbeamv1.TurnSucceeded, ""))
	m.TurnEnded(endedTurn("m", tightbeamv1.TurnSucceeded, ""))
	m.TurnEnded(endedTurn("m", tightbeamv1.TurnFailed, tightbeamv1.ErrorAuth))
	m.TurnEnded(endedTurn("m", tightbeamv1.TurnFailed, "made-up"))
	if err := testutil.CollectAndCompare(m, strings.NewReader(`
# HELP tightbeam_turns_total Turns that have ended, by phase and, where they failed, by the class of the error.
# TYPE tightbeam_turns_total counter
tightbeam_turns_total{class="",model="m",namespace="ns",phase="Succeeded"} 2
tightbeam_turns_total{class="Auth",model="m",namespace="ns",phase="Failed"} 1
tightbeam_turns_total{class="other",model="m",namespace="ns",phase="Failed"} 1
`), "tightbeam_turns_total"); err != nil {
		t.Error(err)
	}
}

func TestAttemptsGiveTokensAndTheProvidersShareOfTheFirst(t *testing.T) {
	t.Parallel()
	m := New(none)
	begun := time.Unix(1700000000, 0)
	first := metav1.NewMicroTime(begun.Add(3 * time.Millisecond))
	m.AttemptEnded("ns", &tightbeamv1.TurnAttempt{
		Model: "m", StartTime: metav1.NewMicroTime(begun), FirstTokenTime: &first,
		Usage: &tightbeamv1.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 5},
	})
	m.AttemptEnded("ns", &tightbeamv1.TurnAttempt{Model: "m", StartTime: metav1.NewMicroTime(begun), Error: &tightbeamv1.TurnError{Class: tightbeamv1.ErrorJobLost}})
	if err := testutil.CollectAndCompare(m, strings.NewReader(`
# HELP tightbeam_attempts_total Attempts at turns that have ended, by the class of the error; none for those that succeeded or were cancelled.
# TYPE tightbeam_attempts_total counter
tightbeam_attempts_total{class="",model="m",namespace="ns"} 1
tightbeam_attempts_total{class="JobLost",model="m",namespace="ns"} 1
# HELP tightbeam_tokens_total Tokens of ended attempts as the provider counted them: input, output, cache_read, cache_write.
# TYPE tightbeam_tokens_total counter
tightbeam_tokens_total{model="m",namespace="ns",type="cache_read"} 5
tightbeam_tokens_total{model="m",namespace="ns",type="cache_write"} 0
tightbeam_tokens_total{model="m",namespace="ns",type="input"} 10
tightbeam_tokens_total{model="m",namespace="ns",type="output"} 20
`), "tightbeam_attempts_total", "tightbeam_tokens_total"); err != nil {
		t.Error(err)
	}
	text := scrape(t, m)
	for _, want := range []string{`attempt_first_token_seconds_bucket{model="m",namespace="ns",le="0.001"} 0`, `le="0.002"} 0`, `le="0.004"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("want %s in\n%s", want, text)
		}
	}
}

func TestGaugesAreReadWhenTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	m := New(func(each func(namespace, model string, counts turns.ModelCounts)) {
		each("ns", "m", turns.ModelCounts{Jobs: 2, Queued: 3, Running: 4})
	})
	if err := testutil.CollectAndCompare(m, strings.NewReader(`
# HELP tightbeam_jobs_connected Jobs that are connected to the gateway.
# TYPE tightbeam_jobs_connected gauge
tightbeam_jobs_connected{model="m",namespace="ns"} 2
# HELP tightbeam_turns Turns that have not ended: queued for a job, or running. Those that wait for their conversation are neither.
# TYPE tightbeam_turns gauge
tightbeam_turns{model="m",namespace="ns",state="queued"} 3
tightbeam_turns{model="m",namespace="ns",state="running"} 4
`), "tightbeam_turns", "tightbeam_jobs_connected"); err != nil {
		t.Error(err)
	}
}

func TestModelWithNothingToDoIsAtZero(t *testing.T) {
	t.Parallel()
	m := New(none)
	m.TurnEnded(endedTurn("m", tightbeamv1.TurnSucceeded, ""))
	if err := testutil.CollectAndCompare(m, strings.NewReader(`
# HELP tightbeam_jobs_connected Jobs that are connected to the gateway.
# TYPE tightbeam_jobs_connected gauge
tightbeam_jobs_connected{model="m",namespace="ns"} 0
`), "tightbeam_jobs_connected"); err != nil {
		t.Error(err)
	}
}

func TestUsersCannotMakeSeriesWithoutEnd(t *testing.T) {
	t.Parallel()
	m := New(none)
	for i := range 10 * maxModels {
		m.TurnEnded(endedTurn(fmt.Sprintf("m%d", i), tightbeamv1.TurnSucceeded, ""))
	}
	if n := testutil.CollectAndCount(m, "tightbeam_turns_total"); n != maxModels+1 {
		t.Errorf("%d series, want %d", n, maxModels+1)
	}
}

func TestLabelsNameNeitherTurnsNorPeople(t *testing.T) {
	t.Parallel()
	m := New(none)
	m.TurnEnded(endedTurn("m", tightbeamv1.TurnSucceeded, ""))
	text := scrape(t, m)
	if !strings.Contains(text, "tightbeam_turn_duration_seconds") || strings.Contains(text, "secret-name") {
		t.Errorf("a turn's name is a label:\n%s", text)
	}
}
