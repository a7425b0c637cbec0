// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/warmpods"
)

// shelve makes a Ready pod claimable that is there.
func (c *Controller) shelve(ctx context.Context, pod *v1.WarmPod, podUID types.UID, connection *sandboxes.Sandbox) error {
	if c.Shelf.Has(pod.UID) {
		c.Shelf.Put(warmpods.Pod{Object: pod, PodUID: podUID}) // as it is now
		return c.rouse(ctx, pod, connection)
	}
	vacant, err := c.vacant(ctx, pod, connection)
	if vacant {
		c.put(pod, podUID, connection)
	}
	return err
}

// vacant asks whether a pod that was Ready before serves nobody yet: a claim may
// have come this far and no further in an earlier process.
func (c *Controller) vacant(ctx context.Context, pod *v1.WarmPod, connection *sandboxes.Sandbox) (bool, error) {
	asking, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	health, err := connection.Health(asking)
	switch {
	case err != nil && !connection.Connected():
		return false, nil // told again when it is back
	case err != nil:
		return false, fmt.Errorf("asking the sandboxd of warm pod %s/%s: %w", pod.Namespace, pod.Name, err)
	case health.SandboxUid == "":
		return true, nil
	case c.Shelf.Taken(pod.UID):
		return false, nil // by a claim that is under way
	}
	return false, c.Objects.Condemn(ctx, pod, "AlreadyConfigured", "its sandboxd was configured for a sandbox before")
}

// rouse asks a pod, once it has been on the shelf for restTime, whether it is still
// vacant. A sandboxd that has come to rest has dropped its code: what answers this
// question answers a claim's as well, and is in memory again by then.
func (c *Controller) rouse(ctx context.Context, pod *v1.WarmPod, connection *sandboxes.Sandbox) error {
	due := false
	c.remember(pod.UID, func(m *memory) {
		if due = !m.askAt.IsZero() && !c.Clock.Now().Before(m.askAt); due {
			m.askAt = time.Time{}
		}
	})
	if !due {
		return nil
	}
	vacant, err := c.vacant(ctx, pod, connection)
	if err == nil && !vacant {
		c.Shelf.Remove(pod.UID)
	}
	return err
}

// put makes a Ready pod claimable.
func (c *Controller) put(pod *v1.WarmPod, podUID types.UID, connection *sandboxes.Sandbox) {
	if !c.Shelf.Put(warmpods.Pod{Object: pod, PodUID: podUID}) {
		return // taken, or its pool is not known yet
	}
	// It may have gone while it was put there.
	if !connection.Connected() {
		c.Shelf.Remove(pod.UID)
	}
	c.remember(pod.UID, func(m *memory) { m.askAt = c.Clock.Now().Add(restTime) })
	c.pods.EnqueueAfter(cache.MetaObjectToName(pod), restTime)
	if d := c.Shelf.Demand(poolOf(pod), 0); len(d.Lags) > 0 {
		c.Metrics.Refilled(poolOf(pod), d.Lags)
	}
}
