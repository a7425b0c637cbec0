// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"math"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// scales is the client that kube-controller-manager gives its
// HorizontalPodAutoscalers: it knows of a pool what discovery says, and nothing of
// this project's types.
func scales(t *testing.T, p *pooled) (scale.ScalesGetter, meta.RESTMapper) {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	cached := memory.NewMemCacheClient(client)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	getter, err := scale.NewForConfig(p.Config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(cached))
	if err != nil {
		t.Fatal(err)
	}
	return getter, mapper
}

// An autoscaler reads the scale, compares a metric with its target, writes
// replicas, and does so again and again. Its scaleTargetRef names a kind.
func TestAnAutoscalerFindsThePoolByItsKindAndScalesItStepByStep(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	p.until(t, "python", "filled", available(2))
	getter, mapper := scales(t, p)
	mapping, err := mapper.RESTMapping(v1.SchemeGroupVersion.WithKind("WarmPool").GroupKind(), v1.SchemeGroupVersion.Version)
	if err != nil {
		t.Fatal(err)
	}
	resource, pools := mapping.Resource.GroupResource(), getter.Scales(poolNamespace)

	const target = 50 // of the metric, on average of the replicas
	for _, step := range []struct {
		metric float64
		want   int32
	}{{100, 4}, {62.5, 5}, {50, 5}, {20, 2}} {
		now, err := pools.Get(t.Context(), resource, "python", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		before, err := p.pools.Get(t.Context(), "python", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		now.Spec.Replicas = int32(math.Ceil(float64(now.Spec.Replicas) * step.metric / target))
		written, err := pools.Update(t.Context(), resource, now, metav1.UpdateOptions{})
		if err != nil || written.Spec.Replicas != step.want {
			t.Fatalf("at %v of %v: %+v, %v", step.metric, target, written, err)
		}
		pool := p.until(t, "python", "scaled", available(step.want))
		if pool.Spec.MinSize != step.want || (pool.Generation != before.Generation) != (before.Spec.MinSize != step.want) {
			t.Errorf("%d pods wanted at generation %d, after %d at %d", pool.Spec.MinSize, pool.Generation, before.Spec.MinSize, before.Generation)
		}
	}

	// Whoever has read an older scale overwrites nothing.
	stale, err := pools.Get(t.Context(), resource, "python", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patched, err := pools.Patch(t.Context(), mapping.Resource, "python", types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{})
	if err != nil || patched.Spec.Replicas != 3 {
		t.Fatalf("%+v, %v", patched, err)
	}
	stale.Spec.Replicas = 1
	if _, err := pools.Update(t.Context(), resource, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale scale was written: %v", err)
	}
	p.until(t, "python", "patched", available(3))

	// Replicas are the unused: one that is claimed is made up for, and not counted.
	if sandbox := p.now(t, "s"); sandbox.Status.Phase != v1.SandboxRunning {
		t.Fatalf("got %+v", bound(sandbox))
	}
	p.until(t, "python", "made up for", func(pool *v1.WarmPool) bool {
		return pool.Status.AssignedPods == 1 && pool.Status.AvailablePods == 3 && pool.Status.PendingPods == 0
	})
	now, err := pools.Get(t.Context(), resource, "python", metav1.GetOptions{})
	if err != nil || now.Spec.Replicas != 3 || now.Status.Replicas != 3 || now.Status.Selector == "" {
		t.Errorf("%+v, %v", now, err)
	}
}
