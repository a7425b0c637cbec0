// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/client"
)

func TestTurnRunsInAJobAndItsStreamIsWhole(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	turn := say(t, ns, "hello from the cluster")
	text, events := stream(t, turn)
	if text != "hello from the cluster" {
		t.Errorf("streamed %q", text)
	}
	if last := events[len(events)-1]; last.Type != tightbeamv1.TurnEventCompleted {
		t.Errorf("the last event is %s", last.Type)
	}
	ended(t, turn, tightbeamv1.TurnSucceeded, time.Second)

	jobs, err := kube.BatchV1().Jobs(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm,tightbeam.dev/model=echo"})
	if err != nil || len(jobs.Items) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs.Items), err)
	}
	// Warm now: no other job, and quick.
	second := say(t, ns, "again")
	text, _ = stream(t, second)
	if text != "again" {
		t.Errorf("streamed %q", text)
	}
	after := ended(t, second, tightbeamv1.TurnSucceeded, time.Second)
	if job := after.Status.Attempts[0].Job; job != jobs.Items[0].Name {
		t.Errorf("the second turn ran in job %q, the first in %q", job, jobs.Items[0].Name)
	}
}

// kube-apiserver cuts turns/stream after 60 s and leaves turns/log alone.
func TestStreamOfMoreThanAMinuteArrivesWhole(t *testing.T) {
	needCluster(t)
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	t.Parallel()
	ns := namespace(t)
	const deltas = 75
	echo(t, ns, fmt.Sprintf(`{deltas: %d, deltaBytes: 8, delayMillis: 1000}`, deltas))
	turn := say(t, ns, "take your time")

	type result struct {
		name   string
		text   string
		events []tightbeamv1.TurnEvent
		cut    int
		err    error
	}
	results := make(chan result, 2)
	go func() { // one request, never broken
		r := result{name: "log"}
		body, err := own.TightbeamV1().RESTClient().Get().Namespace(ns).Resource("turns").Name(turn.Name).SubResource("log").
			Param("follow", "true").DoRaw(t.Context())
		r.err = err
		r.cut = strings.Count(string(body), "\n")
		r.text = string(body)
		results <- r
	}()
	go func() { // our client, which goes on where it was cut
		r := result{name: "client"}
		for event, err := range client.Stream(t.Context(), config, ns, turn.Name, 0) {
			if err != nil {
				r.err = err
				break
			}
			r.events = append(r.events, event)
		}
		results <- r
	}()
	var events, lines int
	for range 2 {
		r := <-results
		if r.err != nil {
			t.Errorf("%s: %v", r.name, r.err)
		}
		switch r.name {
		case "log":
			lines = r.cut
			if !strings.Contains(r.text[max(0, len(r.text)-20000):], `"type":"Completed"`) {
				t.Error("log: the terminal event is missing")
			}
		case "client":
			whole(t, r.events)
			events = len(r.events)
		}
	}
	if lines != events || events < deltas {
		t.Errorf("log had %d events, the client %d, of %d deltas", lines, events, deltas)
	}

	// The seed's name for it is cut, and resumed by number it is whole.
	seen, requests := int64(0), 0
	second := say(t, ns, "once more")
	deadline := time.Now().Add(3 * time.Minute)
	for done := false; !done && time.Now().Before(deadline); requests++ {
		body, _ := own.TightbeamV1().RESTClient().Get().Namespace(ns).Resource("turns").Name(second.Name).SubResource("stream").
			Param("after", fmt.Sprint(seen)).Stream(t.Context())
		if body == nil {
			time.Sleep(time.Second)
			continue
		}
		seen, done = readNumbers(t, body, seen)
	}
	if requests < 2 {
		t.Errorf("turns/stream took %d requests: is it not cut any more?", requests)
	}
	if seen < deltas {
		t.Errorf("turns/stream gave %d events, want at least %d", seen, deltas)
	}
}

func TestJobIsRestrictedAndHasNoToken(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t) // which enforces PodSecurity restricted
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	pods, err := kube.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	pod := pods.Items[0]
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("a token of the cluster is mounted")
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil {
			t.Errorf("volume %q is neither ours nor needed", volume.Name)
			continue
		}
		for _, source := range volume.Projected.Sources {
			if token := source.ServiceAccountToken; token != nil && token.Audience != "llm-job.gateway.safebeam.dev" {
				t.Errorf("a token for the audience %q is mounted", token.Audience)
			}
		}
	}
	if pod.Spec.Containers[0].Resources.Limits.Memory().IsZero() || pod.Spec.Containers[0].Resources.Requests.Cpu().IsZero() {
		t.Error("requests or limits are missing")
	}
	job, err := kube.BatchV1().Jobs(ns).Get(t.Context(), pod.Labels["batch.kubernetes.io/job-name"], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if owner := metav1.GetControllerOf(job); owner == nil || owner.Kind != "TightbeamModel" || owner.Name != "echo" {
		t.Errorf("owner %+v", owner)
	}
	if ttl := job.Spec.TTLSecondsAfterFinished; ttl == nil || *ttl != 30 {
		t.Errorf("ttl %v", ttl)
	}
}

func TestWarmJobsAreKeptAndReplaced(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, jobs: {min: 1, max: 2}}
`)
	var first string
	eventually(t, 30*time.Second, func(ctx context.Context) (err error) { first, err = oneRunning(ctx, ns); return err })
	// What a job is made of changes: it is replaced.
	kubectl(t, "", "-n", ns, "patch", "tbm", "echo", "--type=merge", "-p", `{"spec":{"jobs":{"turnsPerJob":3}}}`)
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		second, err := oneRunning(ctx, ns)
		if err == nil && second == first {
			err = fmt.Errorf("%s still runs", first)
		}
		return err
	})
}

func oneRunning(ctx context.Context, ns string) (string, error) {
	names, err := runningPods(ctx, ns, 1)
	if err != nil {
		return "", err
	}
	return names[0], nil
}
