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
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/conditions"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	// maxAttempts bounds the conflicts of one write. The gateway writes the same
	// status, a few times in a pod's life.
	maxAttempts = 5
	// claimed is how long after a claim its sandbox may still be on its way into
	// the store, and the informer: twice what the claim gives itself.
	claimed = time.Minute
)

// syncPod makes, describes or removes the pod of one WarmPod.
func (c *Controller) syncPod(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.written.GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	if !exists {
		return 0, c.sweep(ctx, name)
	}
	warmPod := obj.(*v1.WarmPod)
	if !slices.Contains(warmPod.Finalizers, PodFinalizer) {
		return 0, nil // somebody else's
	}
	if warmPod.Status.Phase == v1.WarmPodAssigned {
		over, after, err := c.sandboxOver(ctx, warmPod)
		if err != nil || !over {
			return after, err
		}
		return 0, c.end(ctx, warmPod)
	}
	if warmPod.DeletionTimestamp != nil || warmPod.Status.Phase == v1.WarmPodTerminating {
		return 0, c.end(ctx, warmPod)
	}
	return c.keep(ctx, warmPod)
}

// keep sees to the pod of a WarmPod that is unused.
func (c *Controller) keep(ctx context.Context, warmPod *v1.WarmPod) (time.Duration, error) {
	obj, exists, err := c.Pools.GetStore().GetByKey(poolOf(warmPod).String())
	if err != nil || !exists {
		return 0, err // the pool's loop removes it
	}
	pool := obj.(*v1.WarmPool)
	described := warmPod.Status.PoolUID != ""
	if described && warmPod.Status.PoolUID != pool.UID {
		return 0, nil
	}
	pod, running := c.Launcher.Pod(warmPod.Namespace, warmPod.Name)
	switch {
	case !described:
		// Whoever made it has died, or is about to describe it.
		if left := warmPod.CreationTimestamp.Add(halfMade).Sub(c.Clock.Now()); left > 0 {
			return left, nil
		}
		return 0, c.deletePod(ctx, warmPod)
	case !running || pod.Phase == launcher.PodGone || pod.Phase == launcher.PodEnded || pod.Phase == launcher.PodPending && pod.Hopeless:
		reason, message := pod.Reason, pod.Message
		if reason == "" {
			reason, message = launcher.ReasonPodDeleted, "the pod is gone"
		}
		if warmPod.Status.ReadyTime == nil {
			c.failed(pool, warmPod.Status.TemplateHash, reason, message)
		}
		klog.FromContext(ctx).V(2).Info("A warm pod has ended unused", "warmPod", klog.KObj(warmPod), "reason", reason, "message", message)
		return 0, c.deletePod(ctx, warmPod)
	case pod.Phase == launcher.PodStopping:
		return 0, nil
	}
	if warmPod.Status.Phase == v1.WarmPodPending && warmPod.Status.PoolGeneration != pool.Generation {
		// It is preloaded by the pool's newest spec, if that means the same.
		if template, _, err := c.template(pool); err == nil && template.Hash == warmPod.Status.TemplateHash {
			_, err := c.write(ctx, warmPod, func(s *v1.WarmPodStatus) { s.PoolGeneration = pool.Generation })
			return 0, err
		}
	}
	_, err = c.write(ctx, warmPod, func(s *v1.WarmPodStatus) { observed(s, pod) })
	return 0, err
}

// launch has the pod of a new WarmPod made, binds and describes it.
func (c *Controller) launch(ctx context.Context, warmPod *v1.WarmPod, pool *v1.WarmPool) error {
	template, environment, err := c.template(pool)
	if err == nil {
		var pod launcher.Pod
		if pod, err = c.Launcher.Launch(ctx, podSpec(warmPod, template, environment)); err == nil {
			return c.described(ctx, warmPod, pool, template, pod)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reason, message := "LaunchFailed", err.Error()
	if refusal := asRefusal(err); refusal != nil {
		reason, message = reasonOf(refusal)
	}
	hash := ""
	if template != nil {
		hash = template.Hash
	}
	c.failed(pool, hash, reason, message)
	klog.FromContext(ctx).Error(err, "A warm pod could not be launched", "warmPod", klog.KObj(warmPod))
	return c.deletePod(ctx, warmPod)
}

func (c *Controller) described(ctx context.Context, warmPod *v1.WarmPod, pool *v1.WarmPool, template *fit.Template, pod launcher.Pod) error {
	if err := c.open(ctx, pod, template.NetworkAccess); err != nil {
		return err
	}
	if err := c.Bindings.Bind(ctx, warmPod, pod); err != nil {
		return fmt.Errorf("binding pod %s/%s to its WarmPod: %w", pod.Namespace, pod.Name, err)
	}
	_, err := c.write(ctx, warmPod, func(s *v1.WarmPodStatus) {
		s.PoolUID, s.PoolGeneration = pool.UID, pool.Generation
		template.Write(s)
		observed(s, pod)
	})
	return err
}

// open opens the way out of a pod, for what is preloaded. The way in is opened when
// a sandbox has the pod, from where that is.
func (c *Controller) open(ctx context.Context, pod launcher.Pod, access *v1.NetworkAccess) error {
	if access == nil || len(access.Egress) == 0 {
		return nil // a new pod is closed
	}
	err := c.Launcher.Open(ctx, pod, pod.Namespace, &v1.NetworkAccess{Egress: access.Egress})
	if err != nil && asRefusal(err) == nil { // else the pod's notes say what it lacks
		return fmt.Errorf("opening the network of warm pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

func podSpec(warmPod *v1.WarmPod, t *fit.Template, environment *v1.RuntimeEnvironment) launcher.PodSpec {
	return launcher.PodSpec{
		Name: warmPod.Name, Namespace: warmPod.Namespace,
		Owner: launcher.Owner{Kind: launcher.OwnerWarmPod, Namespace: warmPod.Namespace, Name: warmPod.Name, UID: warmPod.UID},
		Image: environment.Spec.Image, Language: environment.Spec.Language, Version: environment.Spec.Version,
		SecurityLevel: t.SecurityLevel, Resources: t.Resources, Filesystem: t.Filesystem,
		SecurityContext: t.SecurityContext, NetworkAccess: t.NetworkAccess,
		Labels: map[string]string{PoolLabel: warmPod.Spec.PoolRef.Name},
	}
}

// observed writes down what is known of the pod. Why a Pending one waits, the
// gateway may know better: what it says of the preload stays.
func observed(s *v1.WarmPodStatus, pod launcher.Pod) {
	s.PodName, s.PodNamespace = pod.Name, pod.Namespace
	if pod.IP != "" {
		s.PodIP = pod.IP
	}
	if pod.Node != "" {
		s.NodeName = pod.Node
	}
	switch {
	case s.Phase == v1.WarmPodReady:
		s.Message = conditions.Message(strings.Join(pod.Notes, "; "))
	case pod.Phase == launcher.PodPending:
		s.Reason, s.Message = pod.Reason, conditions.Message(pod.Message)
	}
}

// sandboxOver tells whether the sandbox of an Assigned pod is over, or never came
// to be.
func (c *Controller) sandboxOver(ctx context.Context, warmPod *v1.WarmPod) (over bool, after time.Duration, err error) {
	namespace, name, _ := strings.Cut(warmPod.Status.AssignedTo, "/")
	obj, exists, err := c.Sandboxes.GetStore().GetByKey(warmPod.Status.AssignedTo)
	if err != nil {
		return false, 0, err
	}
	if exists {
		if sandbox := obj.(*v1.Sandbox); sandbox.UID == warmPod.Status.AssignedToUID {
			return sandbox.Status.Phase.Terminal(), 0, nil
		}
	}
	// It may be on its way into the store, or into the informer.
	if at := warmPod.Status.AssignedAt; at != nil {
		if left := at.Add(claimed).Sub(c.Clock.Now()); left > 0 {
			return false, left, nil
		}
	}
	sandbox, err := c.Client.LlmsafespaceV1().Sandboxes(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, 0, nil
	case err != nil:
		return false, 0, err
	}
	return sandbox.UID != warmPod.Status.AssignedToUID, time.Second, nil
}

// end removes the pod, and then the WarmPod. It is called again when the pod is
// gone.
func (c *Controller) end(ctx context.Context, warmPod *v1.WarmPod) error {
	if pod, there := c.Launcher.Pod(warmPod.Namespace, warmPod.Name); there && pod.Phase != launcher.PodGone {
		if pod.Phase == launcher.PodStopping {
			return nil
		}
		return c.Launcher.Delete(ctx, pod.Namespace, pod.Name, pod.UID)
	}
	name := cache.MetaObjectToName(warmPod)
	if warmPod.Status.AssignedToUID == "" { // else it is the sandbox's, and dropped with it
		if err := c.Bindings.Drop(ctx, name); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("dropping the binding of warm pod %s: %w", name, err)
		}
	}
	if err := c.Launcher.Release(ctx, launcher.Owner{Kind: launcher.OwnerWarmPod, Namespace: warmPod.Namespace, Name: warmPod.Name, UID: warmPod.UID}); err != nil {
		return fmt.Errorf("removing what is left of warm pod %s: %w", name, err)
	}
	// Without its finalizer first: then one delete is the end of it.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": warmPod.UID, "resourceVersion": warmPod.ResourceVersion,
		"finalizers": slices.DeleteFunc(slices.Clone(warmPod.Finalizers), func(f string) bool { return f == PodFinalizer }),
	}})
	if err != nil {
		return err
	}
	pods := c.Client.LlmsafespaceV1().WarmPods(warmPod.Namespace)
	if _, err := pods.Patch(ctx, warmPod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("letting warm pod %s go: %w", name, err)
	}
	if warmPod.DeletionTimestamp != nil {
		return nil
	}
	err = pods.Delete(ctx, warmPod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &warmPod.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// sweep deletes pods that were made for a WarmPod that is not there. The informer
// may be behind, so the server is asked.
func (c *Controller) sweep(ctx context.Context, name cache.ObjectName) error {
	var errs []error
	for _, pod := range c.Launcher.Pods() {
		owner := pod.Owner
		if owner.Kind != launcher.OwnerWarmPod || owner.Namespace != name.Namespace || owner.Name != name.Name || pod.Phase == launcher.PodStopping || pod.Phase == launcher.PodGone {
			continue
		}
		warmPod, err := c.Client.LlmsafespaceV1().WarmPods(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		switch {
		case err == nil && warmPod.UID == owner.UID:
			continue // the informer will show it
		case err != nil && !apierrors.IsNotFound(err):
			errs = append(errs, err)
			continue
		}
		klog.FromContext(ctx).Info("Deleting a pod whose WarmPod is gone", "pod", pod.Name, "warmPod", name)
		errs = append(errs, c.Launcher.Delete(ctx, pod.Namespace, pod.Name, pod.UID), c.Launcher.Release(ctx, owner))
	}
	return errors.Join(errs...)
}

// write changes the status of the WarmPod's newest version. It returns what the
// server has then; nil if the WarmPod is gone.
func (c *Controller) write(ctx context.Context, warmPod *v1.WarmPod, change func(*v1.WarmPodStatus)) (*v1.WarmPod, error) {
	pods := c.Client.LlmsafespaceV1().WarmPods(warmPod.Namespace)
	for attempt := 1; ; attempt++ {
		changed := warmPod.DeepCopy()
		change(&changed.Status)
		if apiequality.Semantic.DeepEqual(changed.Status, warmPod.Status) {
			return warmPod, nil
		}
		updated, err := pods.UpdateStatus(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager})
		switch {
		case err == nil:
			c.written.Mutation(updated)
			return updated, nil
		case apierrors.IsNotFound(err):
			return nil, nil
		case !apierrors.IsConflict(err) || attempt == maxAttempts:
			return nil, fmt.Errorf("writing the status of warm pod %s/%s: %w", warmPod.Namespace, warmPod.Name, err)
		}
		newest, err := pods.Get(ctx, warmPod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && newest.UID != warmPod.UID {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading warm pod %s/%s again: %w", warmPod.Namespace, warmPod.Name, err)
		}
		if newest.Status.Phase == v1.WarmPodAssigned || newest.Status.Phase == v1.WarmPodTerminating {
			return newest, nil // it is not ours to describe any more
		}
		warmPod = newest
	}
}
