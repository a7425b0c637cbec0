// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// As many jobs as the queued turns need and the model allows; none when there
// is nothing to do, and one again when there is.
func TestJobsFollowTheQueueUpAndDown(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, idleTimeout: 2, jobs: {max: 3, turnsPerJob: 1}, parameters: {delayMillis: 1000, deltas: 6}}
`)
	turns := load(t, ns, 5, 1)
	var first []string
	eventually(t, 60*time.Second, func(ctx context.Context) (err error) { first, err = runningPods(ctx, ns, 3); return err })
	used := map[string]int{}
	for _, turn := range turns {
		used[ended(t, turn, tightbeamv1.TurnSucceeded, 90*time.Second).Status.Attempts[0].Job]++
	}
	if len(used) != 3 {
		t.Errorf("the turns ran in %d jobs, want 3: %v", len(used), used)
	}
	// Two idle seconds later they leave, as Jobs that are complete.
	eventually(t, 30*time.Second, func(ctx context.Context) error { _, err := runningPods(ctx, ns, 0); return err })
	jobs, err := kube.BatchV1().Jobs(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm"})
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs.Items {
		if job.Status.Failed > 0 {
			t.Errorf("job %s failed: %+v", job.Name, job.Status)
		}
	}
	// A model whose jobs have left answers again.
	again, err := own.TightbeamV1().Turns(ns).Create(t.Context(), newTurn("k0", "again"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended(t, again, tightbeamv1.TurnSucceeded, 60*time.Second)
	now, err := runningPods(t.Context(), ns, 1)
	if err != nil || slices.Contains(first, now[0]) {
		t.Errorf("%v run, of before were %v, %v", now, first, err)
	}
	ready(t, ns, "echo", "Available", "", 10*time.Second)
}

// What jobs.min keeps does not leave when it is idle, and comes back when it
// is taken away.
func TestMinKeepsIdleJobs(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, idleTimeout: 1, jobs: {min: 2, max: 2}}
`)
	var before []string
	eventually(t, 60*time.Second, func(ctx context.Context) (err error) { before, err = runningPods(ctx, ns, 2); return err })
	time.Sleep(5 * time.Second) // five times the idle timeout
	after, err := runningPods(t.Context(), ns, 2)
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("%v ran, now %v do, %v", before, after, err)
	}
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		model, err := own.TightbeamV1().TightbeamModels(ns).Get(ctx, "echo", metav1.GetOptions{})
		if err == nil && model.Status.ConnectedJobs != 2 {
			err = fmt.Errorf("%d jobs are connected", model.Status.ConnectedJobs)
		}
		return err
	})
	if err := kube.CoreV1().Pods(ns).Delete(t.Context(), before[0], metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		now, err := runningPods(ctx, ns, 2)
		if err == nil && slices.Contains(now, before[0]) {
			err = fmt.Errorf("%s is still there", before[0])
		}
		return err
	})
}

// runningPods returns the names of the pods of jobs that run, which must be n.
func runningPods(ctx context.Context, namespace string, n int) (names []string, err error) {
	pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm"})
	if err != nil {
		return nil, err
	}
	for _, pod := range pods.Items {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	if len(names) != n {
		return names, fmt.Errorf("%d pods run, want %d", len(names), n)
	}
	return names, nil
}
