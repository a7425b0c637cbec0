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
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/client"
)

// These tests take away what the others stand on, so they run by themselves:
// none of them is parallel.

// serverUp waits until the API is served by a pod that is not the one before.
func serverUp(t *testing.T, before string) {
	t.Helper()
	eventually(t, 120*time.Second, func(ctx context.Context) error {
		pods, err := kube.CoreV1().Pods(system).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=safebeam-apiserver"})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.Name == before || pod.DeletionTimestamp != nil {
				continue
			}
			_, err := own.TightbeamV1().Turns("default").List(ctx, metav1.ListOptions{})
			return err
		}
		return fmt.Errorf("no other pod than %s", before)
	})
}

// serverPod is the name of the one pod that is there to stay.
func serverPod(t *testing.T) (name string) {
	t.Helper()
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		pods, err := kube.CoreV1().Pods(system).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=safebeam-apiserver"})
		if err != nil {
			return err
		}
		n := 0
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil {
				name = pod.Name
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%d pods of the API server", n)
		}
		return nil
	})
	return name
}

// follow streams a turn in the background; the returned function waits for its
// end and checks it.
func follow(t *testing.T, turn *tightbeamv1.Turn) (wait func()) {
	t.Helper()
	var events []tightbeamv1.TurnEvent
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event, err := range client.Stream(t.Context(), config, turn.Namespace, turn.Name, 0) {
			if err != nil {
				failed = err
				return
			}
			events = append(events, event)
		}
	}()
	return func() {
		t.Helper()
		<-done
		if failed != nil {
			t.Fatalf("streaming %s: %v", turn.Name, failed)
		}
		whole(t, events)
		if last := events[len(events)-1]; last.Type != tightbeamv1.TurnEventCompleted {
			t.Errorf("turn %s ended with %s %+v", turn.Name, last.Type, last.Error)
		}
	}
}

func TestServerKilledInTheMiddleOfTurnsLosesNothing(t *testing.T) {
	needCluster(t)
	ns := namespace(t)
	echo(t, ns, `{delayMillis: 250, deltas: 60}`)
	var waits []func()
	var turns []*tightbeamv1.Turn
	for i := range 4 {
		name := fmt.Sprintf("k%d", i)
		apply(t, ns, "apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: "+name+"}\nspec: {model: echo}\n")
		turn, err := own.TightbeamV1().Turns(ns).Create(t.Context(), newTurn(name, "survive"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		turns = append(turns, turn)
		waits = append(waits, follow(t, turn))
	}
	running(t, turns[0])
	before := serverPod(t)
	if err := kube.CoreV1().Pods(system).Delete(t.Context(), before, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	serverUp(t, before)
	for i, wait := range waits {
		wait()
		ended(t, turns[i], tightbeamv1.TurnSucceeded, 10*time.Second)
	}
}

func running(t *testing.T, turn *tightbeamv1.Turn) {
	t.Helper()
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		now, err := own.TightbeamV1().Turns(turn.Namespace).Get(ctx, turn.Name, metav1.GetOptions{})
		if err == nil && now.Status.Phase != tightbeamv1.TurnRunning {
			err = fmt.Errorf("turn %s is %s", turn.Name, now.Status.Phase)
		}
		return err
	})
}

// A pod that dies takes its attempts along, but no turn: whatever was
// acknowledged ends, and ends once.
func TestJobPodsKilledUnderLoadLoseNoTurn(t *testing.T) {
	needCluster(t)
	ns := namespace(t)
	echo(t, ns, `{delayMillis: 100, deltas: 10}`)
	turns := load(t, ns, 8, 4)
	killing, stop := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	kills := 0
	killer.Go(func() {
		kills = killJobs(killing, ns, 3, 3*time.Second, func(pod *corev1.Pod) int { // SIGKILL: no grace
			if kube.CoreV1().Pods(ns).Delete(killing, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}) != nil {
				return 0
			}
			return 1
		})
	})
	phases := map[tightbeamv1.TurnPhase]int{}
	for _, turn := range turns {
		phases[terminal(t, turn, 120*time.Second).Status.Phase]++
	}
	stop()
	killer.Wait()
	t.Logf("%d turns, %d pods killed: %v", len(turns), kills, phases)
	if kills == 0 {
		t.Error("nothing was killed")
	}
	// Only an attempt whose answer was seen half may fail its turn.
	if phases[tightbeamv1.TurnSucceeded] < len(turns)-kills*8 {
		t.Errorf("only %d of %d succeeded", phases[tightbeamv1.TurnSucceeded], len(turns))
	}
	askedOnce(t, ns, turns)
}

// killJobs kills the jobs of a namespace, as often as times says, with a pause after
// each time, and each time while a turn is being answered. It returns how many were
// killed, by the count of kill, once that is done or ctx over.
func killJobs(ctx context.Context, namespace string, times int, pause time.Duration, kill func(*corev1.Pod) int) (killed int) {
	for wait := time.Duration(0); times > 0; {
		select {
		case <-ctx.Done():
			return killed
		case <-time.After(wait):
		}
		wait = 100 * time.Millisecond
		turns, err := own.TightbeamV1().Turns(namespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err != nil || len(turns.Items) == 0 {
			continue
		}
		pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "tightbeam.dev/type=llm", FieldSelector: "status.phase=Running"})
		if err != nil {
			continue
		}
		before := killed
		for i := range pods.Items {
			killed += kill(&pods.Items[i])
		}
		if killed > before {
			times--
			wait = pause
		}
	}
	return killed
}

// The only node goes and comes back: jobs finish their turns before their pods
// leave, and the server comes back with everything.
func TestNodeDrainedAndUncordonedLosesNothing(t *testing.T) {
	needCluster(t)
	nodes, err := kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != 1 && !local {
		t.Skip("drains the one node of hack/cluster only")
	}
	ns := namespace(t)
	echo(t, ns, `{delayMillis: 250, deltas: 40}`)
	turn := say(t, ns, "survive")
	running(t, turn)
	wait := follow(t, turn)
	before := serverPod(t)
	node := nodes.Items[0].Name
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if out, err := tryKubectl(ctx, "", "uncordon", node); err != nil {
			t.Error(out)
		}
	})
	// The job stays while it holds an answer that nobody can take, and on the
	// only node the server cannot come back before the drain is given up.
	out, _ := tryKubectl(t.Context(), "", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=20s")
	if !strings.Contains(out, before+" evicted") {
		t.Errorf("the server was not evicted:\n%s", out)
	}
	kubectl(t, "", "uncordon", node)
	serverUp(t, before)
	wait()
	ended(t, turn, tightbeamv1.TurnSucceeded, 60*time.Second)
	ended(t, say(t, ns, "and on"), tightbeamv1.TurnSucceeded, 90*time.Second)
}
