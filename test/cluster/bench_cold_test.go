// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// stage is something that happens between a create request without a job and
// the first token, in their order.
type stage int

const (
	jobMade    stage = iota // the controller has seen the turn
	podMade                 // kube-controller-manager has seen the Job
	scheduled               // the scheduler has seen the pod
	started                 // the kubelet has started the container, which says so
	assigned                // it is connected, and has its turn
	firstToken              // the provider has answered
	read                    // its reader holds it
	stages
)

var stageNames = [stages]string{"job made", "pod made", "scheduled", "started", "connected", "provider answered", "read"}

// TestBenchFirstTokenCold is the time to the first token from zero jobs, and
// where it goes. What the cluster does is known from watches; the rest from
// the turn itself, whose times are of the same clock if the cluster is local.
func TestBenchFirstTokenCold(t *testing.T) {
	needBench(t)
	ns := namespace(t)
	echo(t, ns, `{}`)
	speaker := speaker{config, own, ns}
	if _, _, _, err := speaker.ask(t.Context()); err != nil { // a controller leads
		t.Fatal(err)
	}
	noJobs(t, ns)
	var all samples
	parts := map[stage]samples{}
	for range rounds(12, 4) {
		seen := timeline(t, ns)
		begin := time.Now()
		_, first, name, err := speaker.ask(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		times := seen()
		turn, err := own.TightbeamV1().Turns(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || len(turn.Status.Attempts) == 0 {
			t.Fatal(turn, err)
		}
		times[started] = firstWord(t, ns)
		times[assigned], times[firstToken] = turn.Status.Attempts[0].StartTime.Time, turn.Status.Attempts[0].FirstTokenTime.Time
		times[read] = begin.Add(first)
		all = append(all, first)
		last := begin
		for s := range stages {
			if times[s].IsZero() {
				t.Fatalf("%s was not seen", stageNames[s])
			}
			parts[s] = append(parts[s], max(times[s].Sub(last), 0))
			last = times[s]
		}
		noJobs(t, ns)
	}
	fmt.Println("first token from zero jobs:", all)
	figure("cluster_ttft_cold_p50_ms", milliseconds(all.at(.5)), "ms")
	for s := range stages {
		fmt.Printf("  until %-22s %v\n", stageNames[s]+":", parts[s])
		figure(fmt.Sprintf("cluster_ttft_cold_%d_p50_ms", s), milliseconds(parts[s].at(.5)), "ms")
	}
}

// timeline watches a namespace, and gives when things were first seen.
func timeline(t *testing.T, namespace string) (end func() map[stage]time.Time) {
	t.Helper()
	jobs, err := kube.BatchV1().Jobs(namespace).Watch(t.Context(), metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm"})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := kube.CoreV1().Pods(namespace).Watch(t.Context(), metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm"})
	if err != nil {
		t.Fatal(err)
	}
	times := map[stage]time.Time{}
	var mu sync.Mutex
	saw := func(s stage) {
		mu.Lock()
		defer mu.Unlock()
		if times[s].IsZero() {
			times[s] = time.Now()
		}
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for event := range jobs.ResultChan() {
			if event.Type == watch.Added {
				saw(jobMade)
			}
		}
	})
	watching.Go(func() {
		for event := range pods.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			saw(podMade)
			if pod.Spec.NodeName != "" {
				saw(scheduled)
			}
		}
	})
	return func() map[stage]time.Time {
		jobs.Stop()
		pods.Stop()
		watching.Wait()
		return times
	}
}

// firstWord is when the job of a namespace wrote its first line.
func firstWord(t *testing.T, namespace string) time.Time {
	t.Helper()
	line := kubectl(t, "", "-n", namespace, "logs", "-l", "tightbeam.dev/type=llm", "--timestamps", "--tail=-1")
	stamp, _, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return at
}

// noJobs takes all jobs of a namespace away.
func noJobs(t *testing.T, namespace string) {
	t.Helper()
	kubectl(t, "", "-n", namespace, "delete", "jobs", "--all", "--cascade=foreground", patience)
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d pods left", len(pods.Items))
		}
		return err
	})
}
