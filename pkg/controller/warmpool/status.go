// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/conditions"
	"safebeam.dev/safebeam/pkg/launcher"
)

// statusInterval is how often the numbers of a pool are written at most: a burst
// of claims is one change.
const statusInterval = 250 * time.Millisecond

// tell writes the pool's status if it differs. after asks to be called again,
// where it was written too recently.
func (c *Controller) tell(ctx context.Context, pool *v1.WarmPool, s state, p plan, refusal *launcher.Refusal) (after time.Duration, err error) {
	status := pool.Status.DeepCopy()
	describe(status, pool, s, p, refusal)
	if apiequality.Semantic.DeepEqual(*status, pool.Status) {
		return 0, nil
	}
	var told time.Time
	c.remember(pool.UID, func(m *memory) { told = m.told })
	if next := told.Add(statusInterval); next.After(s.now) && sameWords(status, &pool.Status) {
		return next.Sub(s.now), nil
	}
	// hitRate and peakDemand are the gateway's.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pool.UID},
		"status": map[string]any{
			"availablePods": status.AvailablePods, "assignedPods": status.AssignedPods, "pendingPods": status.PendingPods,
			"lastScaleTime": status.LastScaleTime, "selector": status.Selector,
			"observedGeneration": status.ObservedGeneration, "conditions": status.Conditions,
		},
	})
	if err != nil {
		return 0, err
	}
	_, err = c.Client.LlmsafespaceV1().WarmPools(pool.Namespace).Patch(ctx, pool.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("writing the status of warm pool %s/%s: %w", pool.Namespace, pool.Name, err)
	}
	c.remember(pool.UID, func(m *memory) { m.told = s.now })
	if ready := meta.FindStatusCondition(status.Conditions, v1.WarmPoolReady); ready != nil && !meta.IsStatusConditionPresentAndEqual(pool.Status.Conditions, v1.WarmPoolReady, ready.Status) {
		kind := normal
		if ready.Status == metav1.ConditionFalse {
			kind = warning
		}
		c.Recorder.Event(pool, kind, ready.Reason, ready.Message)
	}
	return 0, nil
}

// sameWords tells whether two statuses differ in numbers alone.
func sameWords(a, b *v1.WarmPoolStatus) bool {
	for _, kind := range []string{v1.WarmPoolReady, v1.WarmPoolScalingUp, v1.WarmPoolScalingDown} {
		x, y := meta.FindStatusCondition(a.Conditions, kind), meta.FindStatusCondition(b.Conditions, kind)
		if x == nil || y == nil || x.Status != y.Status || x.Reason != y.Reason {
			return false
		}
	}
	return a.ObservedGeneration == b.ObservedGeneration
}

// describe is what is true of the pool after the plan.
func describe(status *v1.WarmPoolStatus, pool *v1.WarmPool, s state, p plan, refusal *launcher.Refusal) {
	status.ObservedGeneration = pool.Generation
	status.AvailablePods = int32(p.counts.available)
	status.AssignedPods = int32(p.counts.assigned)
	status.PendingPods = int32(p.counts.pending + p.create)
	status.Selector = PoolLabel + "=" + pool.Name
	if p.scale.since != s.scale.since || status.LastScaleTime == nil {
		status.LastScaleTime = &metav1.Time{Time: p.scale.since.Truncate(time.Second)}
	}
	set := func(kind string, value bool, reason, message string) {
		condition := metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message,
			ObservedGeneration: pool.Generation, LastTransitionTime: metav1.NewTime(s.now.Truncate(time.Second)),
		}
		if value {
			condition.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	failed := s.history.of(s.hash)
	trouble, why := failed.reason, conditions.Message(failed.message)
	if refusal != nil {
		trouble, why = reasonOf(refusal)
	}
	switch {
	case p.counts.available > 0 && trouble != "":
		set(v1.WarmPoolReady, true, "Available", conditions.Message("pods are ready; new ones cannot be made: "+trouble+": "+why))
	case p.counts.available > 0:
		set(v1.WarmPoolReady, true, "Available", "a claim finds a pod")
	case trouble != "":
		set(v1.WarmPoolReady, false, trouble, why)
	case p.counts.pending+p.create > 0:
		set(v1.WarmPoolReady, false, "Filling", "pods are being made")
	case p.scale.wanted == 0 && s.spec.MaxSize > 0 && p.counts.assigned >= int(s.spec.MaxSize):
		set(v1.WarmPoolReady, false, "AtMaxSize", fmt.Sprintf("all of maxSize, %d pods, are in use", s.spec.MaxSize))
	case p.scale.wanted == 0:
		set(v1.WarmPoolReady, false, "NoneWanted", "minSize is 0 and nothing asked for more")
	default:
		set(v1.WarmPoolReady, false, "Empty", "the pods are in use, and others wait for room")
	}
	switch up := p.counts.pending+p.create > 0; {
	case up:
		set(v1.WarmPoolScalingUp, true, "PodsPending", "pods are being made")
	case trouble != "" && p.counts.ready < p.scale.wanted:
		set(v1.WarmPoolScalingUp, false, trouble, "the next attempt waits")
	default:
		set(v1.WarmPoolScalingUp, false, "AsWanted", "no pod is being made")
	}
	if p.scalingDown {
		set(v1.WarmPoolScalingDown, true, "MoreThanWanted", "unused pods are being removed")
	} else {
		set(v1.WarmPoolScalingDown, false, "AsWanted", "no unused pod is being removed")
	}
}
