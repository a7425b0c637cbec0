// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package modelcounts

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
)

func TestCountsAreWrittenAndUsageOnceAMinute(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	model := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}}
	client := fake.NewSimpleClientset(model) // the other one wants a schema of the types
	informer := informers.NewTightbeamModelInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
	var counts Counts
	c, err := New(Options{Client: client, Models: informer, Clock: clock, Counts: func(string, string) Counts { return counts }})
	if err != nil {
		t.Fatal(err)
	}
	name := cache.NewObjectName("ns", "m")
	sync := func() tightbeamv1.TightbeamModelStatus {
		t.Helper()
		stored, err := client.TightbeamV1().TightbeamModels("ns").Get(ctx, "m", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// The informer is up to date, without its goroutine.
		if err := informer.GetIndexer().Update(stored); err != nil {
			t.Fatal(err)
		}
		if _, err := c.sync(ctx, name); err != nil {
			t.Fatal(err)
		}
		stored, err = client.TightbeamV1().TightbeamModels("ns").Get(ctx, "m", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return stored.Status
	}
	counts = Counts{Jobs: 1, Queued: 2, Running: 3}
	if got := sync(); got.ConnectedJobs != 1 || got.QueuedTurns != 2 || got.RunningTurns != 3 {
		t.Errorf("counts %+v", got)
	}
	c.Used("ns", "m", &tightbeamv1.Usage{OutputTokens: 5})
	if got := sync(); got.Usage == nil || got.Usage.OutputTokens != 5 {
		t.Errorf("usage %+v", got.Usage)
	}
	c.Used("ns", "m", &tightbeamv1.Usage{OutputTokens: 7})
	if got := sync(); got.Usage.OutputTokens != 5 {
		t.Errorf("usage is written before its time: %+v", got.Usage)
	}
	clock.Step(usageInterval)
	if got := sync(); got.Usage.OutputTokens != 12 {
		t.Errorf("usage %+v", got.Usage)
	}
	if got := sync(); got.Usage.OutputTokens != 12 {
		t.Errorf("usage is counted twice: %+v", got.Usage)
	}
	// An attempt that ends after its model leaves nothing behind.
	if err := informer.GetIndexer().Delete(model); err != nil {
		t.Fatal(err)
	}
	c.Used("ns", "m", &tightbeamv1.Usage{OutputTokens: 1})
	if _, err := c.sync(ctx, name); err != nil {
		t.Fatal(err)
	}
	if len(c.usage) != 0 {
		t.Error("usage of a deleted model is kept")
	}
}
