// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package ttl

import (
	"context"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	llmsafespaceinformers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/llmsafespace/v1"
)

func TestSandboxExpiry(t *testing.T) {
	t.Parallel()
	over := ptr.To(metav1.NewTime(t0))
	for _, test := range []struct {
		name       string
		phase      llmsafespacev1.SandboxPhase
		completion *metav1.Time
		own        *int32
		deleting   bool
		now        time.Time
		want       verdict
	}{
		{name: "runs", phase: llmsafespacev1.SandboxRunning, own: ptr.To[int32](0), now: at(99)},
		{name: "is being ended", phase: llmsafespacev1.SandboxTerminating, own: ptr.To[int32](0), now: at(99)},
		{name: "is over, and when is not known yet", phase: llmsafespacev1.SandboxLost, own: ptr.To[int32](0), now: at(99)},
		{name: "is being deleted", phase: llmsafespacev1.SandboxLost, completion: over, own: ptr.To[int32](0), deleting: true, now: at(99)},
		{name: "has some time left", phase: llmsafespacev1.SandboxTerminated, completion: over, own: ptr.To[int32](10), now: at(3), want: verdict{after: 7 * time.Second}},
		{name: "is over to the second", phase: llmsafespacev1.SandboxFailed, completion: over, own: ptr.To[int32](10), now: at(10), want: verdict{expired: true}},
		{name: "goes at once", phase: llmsafespacev1.SandboxTerminated, completion: over, own: ptr.To[int32](0), now: at(0), want: verdict{expired: true}},
		{name: "has no lifetime", phase: llmsafespacev1.SandboxTerminated, completion: over, now: at(1e9)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sandbox := &llmsafespacev1.Sandbox{
				Spec:   llmsafespacev1.SandboxSpec{TTLSecondsAfterFinished: test.own},
				Status: llmsafespacev1.SandboxStatus{Phase: test.phase, CompletionTime: test.completion},
			}
			if test.deleting {
				sandbox.DeletionTimestamp = over
			}
			if got := sandboxExpiry(sandbox, test.now); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestSandboxesAndExecutionsAreDeletedEachWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "uid", ResourceVersion: "7"}
	}
	client := fake.NewSimpleClientset(
		&llmsafespacev1.Execution{
			ObjectMeta: meta("run"), Spec: llmsafespacev1.ExecutionSpec{Sandbox: "box", Code: "large", TTLSecondsAfterFinished: ptr.To[int32](30)},
			Status: llmsafespacev1.ExecutionStatus{Phase: llmsafespacev1.ExecutionSucceeded, CompletionTime: ptr.To(metav1.NewMicroTime(t0))},
		},
	)
	// The tracker guesses the plural of objects that it is given, and not of these.
	if _, err := client.LlmsafespaceV1().Sandboxes("ns").Create(t.Context(), &llmsafespacev1.Sandbox{
		ObjectMeta: meta("box"), Spec: llmsafespacev1.SandboxSpec{TTLSecondsAfterFinished: ptr.To[int32](10)},
		Status: llmsafespacev1.SandboxStatus{Phase: llmsafespacev1.SandboxLost, CompletionTime: ptr.To(metav1.NewTime(t0))},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deletes := make(chan clienttesting.DeleteAction, 10)
	client.PrependReactor("delete", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		deletes <- action.(clienttesting.DeleteAction)
		return false, nil, nil
	})
	clock := clocktesting.NewFakeClock(t0)
	boxes := llmsafespaceinformers.NewSandboxInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	finished := NewFinishedExecutionInformer(client)
	ofBoxes, err := NewSandboxes(client, boxes, clock)
	if err != nil {
		t.Fatal(err)
	}
	ofExecutions, err := NewExecutions(client, finished, clock)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{boxes, finished} {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	for _, controller := range []*Controller{ofBoxes, ofExecutions} {
		running.Go(func() {
			if err := controller.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })

	// The clock goes on a second at a time, as real ones do.
	next := func() (string, time.Duration) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; {
			select {
			case action := <-deletes:
				if preconditions := action.GetDeleteOptions().Preconditions; preconditions == nil || *preconditions.ResourceVersion != "7" {
					t.Errorf("preconditions are %+v", preconditions)
				}
				return action.GetName(), clock.Since(t0)
			case <-time.After(5 * time.Millisecond):
				if time.Now().After(deadline) {
					t.Fatal("nothing is deleted any more")
				}
				clock.Step(time.Second)
			}
		}
	}
	if name, after := next(); name != "box" || after < 10*time.Second {
		t.Errorf("%s went after %s", name, after)
	}
	if name, after := next(); name != "run" || after < 30*time.Second {
		t.Errorf("%s went after %s", name, after)
	}
	obj, _, _ := finished.GetStore().GetByKey("ns/run")
	if execution, ok := obj.(*llmsafespacev1.Execution); ok && execution.Spec.Code != "" {
		t.Error("the informer keeps what executions run")
	}
}
