// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/client"
)

// TestTimeToFirstToken measures, through the kube-apiserver, the time from the
// create request to the first delta that its reader holds. It is a measurement
// and asserts nothing but that it worked: make bench-cluster prints it.
func TestTimeToFirstToken(t *testing.T) {
	needCluster(t)
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a measurement: set E2E_BENCH=1")
	}
	ns := namespace(t)
	echo(t, ns, `{}`)
	firstToken := func() time.Duration {
		t.Helper()
		begin := time.Now()
		turn := say(t, ns, "x")
		first := time.Duration(0)
		for event, err := range client.Stream(t.Context(), config, ns, turn.Name, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if event.Type == tightbeamv1.TurnEventBlockDelta && first == 0 {
				first = time.Since(begin)
			}
		}
		return first
	}

	var cold, scheduled, started []time.Duration
	for range 10 {
		begin := time.Now()
		cold = append(cold, firstToken())
		pods, err := kube.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm"})
		if err != nil || len(pods.Items) != 1 {
			t.Fatalf("%d pods, %v", len(pods.Items), err)
		}
		// The pod's own times are whole seconds: the container's start is told
		// by its position in time alone.
		for _, c := range pods.Items[0].Status.Conditions {
			if c.Type == "PodScheduled" {
				scheduled = append(scheduled, c.LastTransitionTime.Sub(begin))
			}
		}
		if state := pods.Items[0].Status.ContainerStatuses; len(state) == 1 && state[0].State.Running != nil {
			started = append(started, state[0].State.Running.StartedAt.Sub(begin))
		}
		kubectl(t, "", "-n", ns, "delete", "jobs", "--all", "--cascade=foreground", "--timeout=60s")
		eventually(t, 30*time.Second, func(ctx context.Context) error {
			pods, err := kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
			if err == nil && len(pods.Items) > 0 {
				err = fmt.Errorf("%d pods left", len(pods.Items))
			}
			return err
		})
	}
	firstToken()
	var warm []time.Duration
	for range 200 {
		warm = append(warm, firstToken())
	}
	report := func(name string, times []time.Duration) {
		slices.Sort(times)
		fmt.Printf("%-28s n=%-4d p50=%-12v p90=%-12v max=%v\n", name, len(times), times[len(times)/2], times[len(times)*9/10], times[len(times)-1])
	}
	report("first token, warm", warm)
	report("first token, no job", cold)
	report("  pod scheduled (1 s steps)", scheduled)
	report("  container runs (1 s steps)", started)
}
