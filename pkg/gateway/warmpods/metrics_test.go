// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// What /metrics shows is the process's, so these tests run one after the other.

// scrape reads /metrics.
func scrape(t *testing.T) testutil.Metrics {
	t.Helper()
	response := httptest.NewRecorder()
	legacyregistry.Handler().ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	metrics := testutil.NewMetrics()
	if err := testutil.ParseMetrics(response.Body.String(), &metrics); err != nil {
		t.Fatal(err)
	}
	return metrics
}

// value is that of the one series of a name that has the labels, as "name=value";
// below zero if there is none.
func value(metrics testutil.Metrics, name string, labels ...string) float64 {
	for _, sample := range metrics[name] {
		has := map[string]bool{}
		for name, value := range sample.Metric {
			has[string(name)+"="+string(value)] = true
		}
		all := true
		for _, label := range labels {
			all = all && has[label]
		}
		if all {
			return float64(sample.Value)
		}
	}
	return -1
}

func TestMetricsTellWhatBecameOfClaims(t *testing.T) {
	w := newWorld(t, bboltOptions(t))
	hide := w.claimer.Metrics.Expose()
	defer hide()
	w.minSize = 4
	w.ready(t, w.minSize)
	w.configure = func() func(types.UID) error {
		first := true
		return func(types.UID) error {
			if first {
				first = false
				return errors.New("refused")
			}
			return nil
		}
	}()
	const creates = 5 // one pod fails, three are bound, two creates find none
	for i := range creates {
		s, err := w.post(t.Context(), newSandbox(string(rune('a'+i))))
		if warm := s != nil && s.Status.Phase == v1.SandboxRunning; err != nil || warm != (i < 3) {
			t.Fatalf("create %d: warm is %t: %v", i, warm, err)
		}
	}
	asked := newSandbox("never")
	asked.Spec.Runtime, asked.Spec.SecurityLevel = "python:3.11", v1.SecurityHigh
	if _, err := w.post(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	// As the gateway does when two pods have made up for claims.
	w.ready(t, 2)
	pool := types.NamespacedName{Namespace: poolSpace, Name: poolName}
	lags := w.shelf.Demand(pool, time.Minute).Lags
	w.claimer.Metrics.Refilled(pool, lags)

	shown := scrape(t)
	labels := []string{"namespace=" + poolSpace, "pool=" + poolName}
	for result, n := range map[string]float64{"hit": 3, "empty": 2, "failed": 1} {
		if got := value(shown, "llmsafespace_warmpool_claims_total", append(labels, "result="+result)...); got != n {
			t.Errorf("%v claims are %s, not %v", got, result, n)
		}
	}
	for reason, n := range map[string]float64{"PoolEmpty": 2, "NoPool": 1} {
		if got := value(shown, "llmsafespace_warmpool_cold_total", "reason="+reason); got != n {
			t.Errorf("%v started cold for %s, not %v", got, reason, n)
		}
	}
	// Of six asks for a pod, four were given one, the failed one among them.
	if got := value(shown, "llmsafespace_warmpool_hit_ratio", labels...); got != 0.66 {
		t.Errorf("the hit ratio is %v", got)
	}
	if got := value(shown, "llmsafespace_warmpool_ready_pods", labels...); got != 2 {
		t.Errorf("%v pods are ready, not 2", got)
	}
	const took = "llmsafespace_warmpool_claim_duration_seconds"
	if n, sum := value(shown, took+"_count", labels...), value(shown, took+"_sum", labels...); n != 3 || sum <= 0 {
		t.Errorf("%v claims took %v s together", n, sum)
	}
	// What is told apart begins below what a claim takes.
	for _, le := range []string{"0.0005", "0.001", "0.005", "+Inf"} {
		if n := value(shown, took+"_bucket", append(labels, "le="+le)...); n < 0 || le == "+Inf" && n != 3 {
			t.Errorf("%v claims took up to %s s", n, le)
		}
	}
	if n := value(shown, "llmsafespace_warmpool_refill_lag_seconds_count", labels...); n != 2 || len(lags) != 2 {
		t.Errorf("two pods made up for claims, which shows as %v of %v", n, lags)
	}
	hide()
	for name := range scrape(t) {
		if strings.HasPrefix(name, "llmsafespace_warmpool_") {
			t.Errorf("%s is shown after its server", name)
		}
	}
}

// A claim's writes are of no use without the sandbox, so the three are durable
// together.
func TestAClaimTakesOneSync(t *testing.T) {
	w := newWorld(t, bboltOptions(t))
	const tries = 20
	w.ready(t, tries)
	syncs := func() float64 { return value(scrape(t), "safebeam_store_syncs_total") }
	records := func() float64 { return value(scrape(t), "safebeam_store_records_total") }
	// The engine prepares files ahead of need, and syncs by itself what was staged a
	// moment ago: on a busy machine not every claim is one sync, but some are.
	var least float64 = tries
	for i := range tries {
		before, written := syncs(), records()
		if s, err := w.post(t.Context(), newSandbox(string(rune('a'+i)))); err != nil || s.Status.Phase != v1.SandboxRunning {
			t.Fatalf("%+v, %v", s, err)
		}
		if n := records() - written; n < 3 {
			t.Fatalf("%v records for three writes", n)
		}
		least = min(least, syncs()-before)
	}
	if least != 1 {
		t.Errorf("a claim takes %v syncs at least", least)
	}
}
