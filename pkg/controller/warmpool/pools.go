// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"golang.org/x/sync/errgroup"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	// inParallel bounds the requests of one step that are under way at a time.
	inParallel = 8
	// unseen is how long a WarmPod that was made counts without being seen.
	unseen = 30 * time.Second
	// randomLetters end the name of a WarmPod. A name is used once.
	randomLetters = 8
	// maxPodName leaves the pod's name a DNS label.
	maxPodName = 63
)

func (c *Controller) syncPool(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.Pools.GetStore().GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	pods, err := c.podsOf(name)
	if err != nil {
		return 0, err
	}
	if !exists {
		// Removed without its finalizer, or made by another pool of the name.
		return 0, c.removeStrays(ctx, pods, "")
	}
	pool := obj.(*v1.WarmPool)
	own := slices.DeleteFunc(slices.Clone(pods), func(pod *v1.WarmPod) bool { return pod.Status.PoolUID != pool.UID })
	if pool.DeletionTimestamp == nil && !slices.Contains(pool.Finalizers, PoolFinalizer) {
		return 0, c.finalizers(ctx, pool, append(slices.Clone(pool.Finalizers), PoolFinalizer))
	}

	s := state{spec: &pool.Spec, pods: own, deleted: pool.DeletionTimestamp != nil, peak: int(pool.Status.PeakDemand), now: c.Clock.Now()}
	template, _, err := c.template(pool)
	refusal := asRefusal(err)
	switch {
	case err != nil && refusal == nil:
		return 0, err
	case err == nil:
		s.hash = template.Hash
	}
	var unsure time.Time
	c.remember(pool.UID, func(m *memory) { unsure = c.look(m, &s, pool) })

	p := makePlan(s)
	p.wakeAt(s.now, unsure)
	errs := []error{c.removeStrays(ctx, pods, pool.UID), c.remove(ctx, pool, s, p)}
	if s.deleted {
		c.forget(pool.UID)
		if len(p.remove) == 0 && slices.Contains(pool.Finalizers, PoolFinalizer) {
			errs = append(errs, c.finalizers(ctx, pool, slices.DeleteFunc(slices.Clone(pool.Finalizers), func(f string) bool { return f == PoolFinalizer })))
		}
		return 0, errors.Join(errs...)
	}
	c.remember(pool.UID, func(m *memory) { m.scale = p.scale })
	// Said before it is done: a burst of pods takes a while to make.
	after, err := c.tell(ctx, pool, s, p, refusal)
	p.wakeAt(s.now, s.now.Add(after))
	errs = append(errs, c.create(ctx, pool, p.create))
	if p.again.IsZero() {
		return 0, errors.Join(append(errs, err)...)
	}
	return p.again.Sub(s.now), errors.Join(append(errs, err)...)
}

// look completes the state by what is remembered, and the memory by the state. It
// returns when the first of the WarmPods that have not been seen counts no more;
// zero if there is none.
func (c *Controller) look(m *memory, s *state, pool *v1.WarmPool) (unsure time.Time) {
	for _, pod := range s.pods {
		delete(m.creating, pod.Name)
		if m.history.failures > 0 && pod.Status.TemplateHash == m.history.hash && pod.Status.ReadyTime != nil && pod.Status.ReadyTime.After(m.history.last) {
			m.history = history{} // it works after all
		}
	}
	for name, at := range m.creating {
		over := at.Add(unseen)
		if !over.After(s.now) {
			delete(m.creating, name)
		} else if unsure.IsZero() || over.Before(unsure) {
			unsure = over
		}
	}
	s.creating, s.history, s.scale = len(m.creating), m.history, m.scale
	if !s.scale.known && pool.Status.LastScaleTime != nil && pool.Status.ObservedGeneration == pool.Generation {
		// An earlier process decided; it wanted what there is.
		s.scale = scale{int(pool.Status.AvailablePods + pool.Status.PendingPods), pool.Status.LastScaleTime.Time, true}
	}
	return unsure
}

// podsOf lists the WarmPods that the loop of a pool of that name has made.
func (c *Controller) podsOf(name cache.ObjectName) ([]*v1.WarmPod, error) {
	objs, err := c.Pods.GetIndexer().ByIndex(indexPool, name.String())
	if err != nil {
		return nil, err
	}
	pods := make([]*v1.WarmPod, 0, len(objs))
	for _, obj := range objs {
		pod := obj.(*v1.WarmPod)
		// Our own writes may be newer than what the informer has.
		if newer, exists, err := c.written.GetByKey(cache.MetaObjectToName(pod).String()); err == nil && exists {
			pod = newer.(*v1.WarmPod)
		}
		if slices.Contains(pod.Finalizers, PodFinalizer) {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// removeStrays deletes the unused pods of pools that are gone.
func (c *Controller) removeStrays(ctx context.Context, pods []*v1.WarmPod, pool types.UID) error {
	var errs []error
	for _, pod := range pods {
		stray := pod.Status.PoolUID != "" && pod.Status.PoolUID != pool
		if stray && pod.DeletionTimestamp == nil && pod.Status.Phase != v1.WarmPodAssigned {
			errs = append(errs, c.deletePod(ctx, pod))
		}
	}
	return errors.Join(errs...)
}

// remove deletes WarmPods, and remembers which of them failed.
func (c *Controller) remove(ctx context.Context, pool *v1.WarmPool, s state, p plan) error {
	var group errgroup.Group
	group.SetLimit(inParallel)
	for _, r := range p.remove {
		klog.FromContext(ctx).V(2).Info("Removing a warm pod", "warmPod", klog.KObj(r.pod), "reason", r.reason, "message", r.message)
		if r.failed {
			c.failed(pool, s.hash, r.reason, r.message)
		}
		group.Go(func() error { return c.deletePod(ctx, r.pod) })
	}
	return group.Wait()
}

// failed remembers that a pod of the pool failed before it was Ready.
func (c *Controller) failed(pool *v1.WarmPool, hash, reason, message string) {
	c.remember(pool.UID, func(m *memory) { m.history = m.history.failed(hash, reason, message, c.Clock.Now()) })
	c.say(pool, warning, reason, message)
}

// deletePod deletes the very version of a WarmPod that was seen: one that was
// claimed meanwhile stays.
func (c *Controller) deletePod(ctx context.Context, pod *v1.WarmPod) error {
	err := c.Client.LlmsafespaceV1().WarmPods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // the informer will show what it is now
	}
	return err
}

// create makes WarmPods. A refusal, by a quota or of a namespace that is being
// deleted, is one of all: no further one is begun.
func (c *Controller) create(ctx context.Context, pool *v1.WarmPool, n int) error {
	var group errgroup.Group
	var refused atomic.Bool
	group.SetLimit(inParallel)
	for range n {
		group.Go(func() error {
			if refused.Load() {
				return nil
			}
			pod := newPod(pool)
			c.remember(pool.UID, func(m *memory) { m.creating[pod.Name] = c.Clock.Now() })
			created, err := c.Client.LlmsafespaceV1().WarmPods(pool.Namespace).Create(ctx, pod, metav1.CreateOptions{FieldManager: fieldManager})
			if err != nil {
				refused.Store(true)
				c.remember(pool.UID, func(m *memory) { delete(m.creating, pod.Name) })
				return fmt.Errorf("creating a warm pod: %w", err)
			}
			// Its pod is made at once, without waiting for the informer.
			c.written.Mutation(created)
			return c.launch(ctx, created, pool)
		})
	}
	return group.Wait()
}

func newPod(pool *v1.WarmPool) *v1.WarmPod {
	prefix := pool.Name
	if room := maxPodName - randomLetters - 1; len(prefix) > room {
		prefix = prefix[:room]
	}
	prefix = strings.TrimRight(strings.ReplaceAll(prefix, ".", "-"), "-")
	return &v1.WarmPod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pool.Namespace, Name: prefix + "-" + rand.String(randomLetters),
			Labels:     map[string]string{PoolLabel: pool.Name},
			Finalizers: []string{PodFinalizer},
		},
		Spec: v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: pool.Name}},
	}
}

func (c *Controller) finalizers(ctx context.Context, pool *v1.WarmPool, finalizers []string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pool.UID, "resourceVersion": pool.ResourceVersion, "finalizers": finalizers,
	}})
	if err != nil {
		return err
	}
	_, err = c.Client.LlmsafespaceV1().WarmPools(pool.Namespace).Patch(ctx, pool.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// reasonOf is the reason of a refusal of what a pool asks for.
func reasonOf(refusal *launcher.Refusal) (reason, message string) {
	return refusal.Reason, refusal.Message
}
