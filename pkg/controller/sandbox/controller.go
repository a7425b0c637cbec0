// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	// A worker waits for two or three short requests, and a burst of sandboxes
	// should not wait in one line.
	workers = 16
	// maxWritten bounds the writes that are remembered at a time. One that is
	// forgotten too early is made again, to the same effect.
	maxWritten = 10_000
	// refusalRetry is how soon a refused pod is tried again: what it wants may
	// have come to be, and nobody tells.
	refusalRetry = 5 * time.Second
)

// Bindings are the gateway's records of whose a pod is.
type Bindings interface {
	// Bind says that the pod is the sandbox's. It is idempotent. A conflict says
	// that the sandbox has, or had, another one.
	Bind(ctx context.Context, sandbox *llmsafespacev1.Sandbox, pod launcher.Pod) error
	// Drop drops the binding of whatever pod the sandbox has. It is idempotent.
	Drop(ctx context.Context, sandbox *llmsafespacev1.Sandbox) error
}

// Options are what the controller works on.
type Options struct {
	Client versioned.Interface
	// Sandboxes and Environments are run by the caller.
	Sandboxes    cache.SharedIndexInformer
	Environments cache.SharedIndexInformer
	Launcher     launcher.SandboxLauncher
	Bindings     Bindings
	Clock        clock.WithTicker
	// LostReason and LostMessage are those of pods that the launcher does not
	// know (any more).
	LostReason, LostMessage string
	// Recorder tells what becomes of sandboxes as events. Nil: nobody does.
	Recorder record.EventRecorder
}

// Controller is the loop of sandboxes.
type Controller struct {
	client       versioned.Interface
	sandboxes    cache.SharedIndexInformer
	environments cache.SharedIndexInformer
	// written has our own writes until the informer has caught up with them,
	// so that no step is taken twice.
	written  cache.MutationCache
	launcher launcher.SandboxLauncher
	bindings Bindings
	clock    clock.WithTicker
	lost     ending
	recorder record.EventRecorder
	loop     *loop.Loop

	mu sync.Mutex
	// came is when sandboxes were first seen that have no pod yet: their creation
	// to the millisecond, which the object has to the second.
	came map[types.UID]time.Time
}

// indexPod indexes sandboxes by NAMESPACE/NAME of the pod that they have, or
// would get.
const indexPod = "pod"

// New makes the loop and subscribes it to the informers and the launcher.
func New(o Options) (*Controller, error) {
	c := &Controller{
		client: o.Client, sandboxes: o.Sandboxes, environments: o.Environments,
		written:  cache.NewIntegerResourceVersionMutationCacheWithOptions(klog.Background(), o.Sandboxes.GetStore(), cache.MutationCacheOptions{MaxCacheSize: maxWritten}),
		launcher: o.Launcher, bindings: o.Bindings, clock: o.Clock,
		lost: ending{llmsafespacev1.SandboxLost, o.LostReason, o.LostMessage},
		came: map[types.UID]time.Time{}, recorder: o.Recorder,
	}
	c.loop = loop.New("sandbox", workers, o.Clock, c.sync)
	if err := o.Sandboxes.AddIndexers(cache.Indexers{indexPod: func(obj any) ([]string, error) {
		return []string{podOf(obj.(*llmsafespacev1.Sandbox)).String()}, nil
	}}); err != nil {
		return nil, err
	}
	enqueue := func(obj any) {
		name, err := cache.DeletionHandlingObjectToName(obj)
		if err != nil {
			panic(fmt.Sprintf("informer on sandboxes delivered %T: %v", obj, err))
		}
		c.loop.Enqueue(name)
	}
	if _, err := o.Sandboxes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { c.arrived(obj.(*llmsafespacev1.Sandbox)); enqueue(obj) },
		UpdateFunc: func(old, obj any) { c.tell(old.(*llmsafespacev1.Sandbox), obj.(*llmsafespacev1.Sandbox)); enqueue(obj) },
		DeleteFunc: func(obj any) { c.left(obj); enqueue(obj) },
	}); err != nil {
		return nil, err
	}
	o.Launcher.OnChange(c.podChanged)
	return c, nil
}

// fresh is how old a sandbox may be that has just been created.
const fresh = 3 * time.Second

func (c *Controller) arrived(sandbox *llmsafespacev1.Sandbox) {
	if c.clock.Since(sandbox.CreationTimestamp.Time) <= fresh {
		c.tell(&llmsafespacev1.Sandbox{}, sandbox)
	}
	if sandbox.Status.Phase != llmsafespacev1.SandboxPending || sandbox.Status.PodName != "" {
		return
	}
	now := c.clock.Now()
	if now.Sub(sandbox.CreationTimestamp.Time) > fresh {
		now = sandbox.CreationTimestamp.Time
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.came[sandbox.UID] = now
}

func (c *Controller) left(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if sandbox, ok := obj.(*llmsafespacev1.Sandbox); ok {
		c.since(sandbox)
	}
}

// since returns how long ago a sandbox came, once; ok is false if that is not
// known, or was asked for.
func (c *Controller) since(sandbox *llmsafespacev1.Sandbox) (age time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	came, ok := c.came[sandbox.UID]
	delete(c.came, sandbox.UID)
	return c.clock.Since(came), ok
}

// tell tells what became of a sandbox. What happened while no controller looked is
// not told.
func (c *Controller) tell(old, sandbox *llmsafespacev1.Sandbox) {
	if c.recorder != nil {
		tell(c.recorder, old, sandbox)
	}
}

// podChanged looks at whoever has the pod: its maker, or the sandbox that it was
// claimed for.
func (c *Controller) podChanged(pod launcher.Pod) {
	if pod.Owner.Kind == launcher.OwnerSandbox {
		c.loop.Enqueue(cache.ObjectName{Namespace: pod.Owner.Namespace, Name: pod.Owner.Name})
		return
	}
	keys, err := c.sandboxes.GetIndexer().IndexKeys(indexPod, pod.Namespace+"/"+pod.Name)
	if err != nil {
		panic(err) // the index is missing: a mistake in this program
	}
	for _, key := range keys {
		if name, err := cache.ParseObjectName(key); err == nil {
			c.loop.Enqueue(name)
		}
	}
}

// Run works until ctx ends. Pods are left as they are: they are the launcher's.
func (c *Controller) Run(ctx context.Context) error {
	// Pods whose sandbox went away while no controller looked.
	for _, pod := range c.launcher.Pods() {
		c.podChanged(pod)
	}
	return c.loop.Run(ctx, c.sandboxes.HasSynced, c.environments.HasSynced)
}

func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.written.GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	if !exists {
		return 0, c.sweep(ctx, name)
	}
	sandbox := obj.(*llmsafespacev1.Sandbox)
	at := podOf(sandbox)
	var pod *launcher.Pod
	if p, ok := c.launcher.Pod(at.Namespace, at.Name); ok {
		pod = &p
	}
	do, end, after := plan(sandbox, pod, c.lost, c.clock.Now())
	switch do {
	case stepLaunch:
		return c.launch(ctx, sandbox)
	case stepBind:
		return after, c.bind(ctx, sandbox, *pod, c.clock.Now())
	case stepObserve:
		return after, c.observe(ctx, sandbox, *pod, nil)
	case stepEnd:
		return after, c.end(ctx, sandbox, end)
	case stepDeletePod:
		return after, c.launcher.Delete(ctx, pod.Namespace, pod.Name, pod.UID)
	case stepRelease:
		return after, c.release(ctx, sandbox)
	}
	return after, nil
}

// sweep deletes pods that were made for a sandbox that is not there. The
// informer may be behind, so the server is asked.
func (c *Controller) sweep(ctx context.Context, name cache.ObjectName) error {
	var errs []error
	for _, pod := range c.launcher.Pods() {
		owner := pod.Owner
		if owner.Kind != launcher.OwnerSandbox || owner.Namespace != name.Namespace || owner.Name != name.Name || pod.Phase == launcher.PodStopping || pod.Phase == launcher.PodGone {
			continue
		}
		sandbox, err := c.client.LlmsafespaceV1().Sandboxes(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		switch {
		case err == nil && sandbox.UID == owner.UID:
			continue // the informer will show it
		case err != nil && !apierrors.IsNotFound(err):
			errs = append(errs, err)
			continue
		}
		klog.FromContext(ctx).Info("Deleting a pod whose sandbox is gone", "pod", pod.Name, "sandbox", name)
		errs = append(errs, c.launcher.Delete(ctx, pod.Namespace, pod.Name, pod.UID), c.launcher.Release(ctx, owner))
	}
	return errors.Join(errs...)
}

// launch has a pod made, and binds it.
func (c *Controller) launch(ctx context.Context, sandbox *llmsafespacev1.Sandbox) (time.Duration, error) {
	began := c.clock.Now()
	obj, exists, err := c.environments.GetStore().GetByKey(sandbox.Status.RuntimeEnvironment)
	if err != nil {
		return 0, err
	}
	var pod launcher.Pod
	if exists {
		pod, err = c.launcher.Launch(ctx, podSpec(sandbox, obj.(*llmsafespacev1.RuntimeEnvironment)))
	} else {
		err = &launcher.Refusal{Reason: "RuntimeNotFound", Message: fmt.Sprintf("RuntimeEnvironment %q does not exist (any more)", sandbox.Status.RuntimeEnvironment)}
	}
	var refusal *launcher.Refusal
	if errors.As(err, &refusal) {
		_, err := c.write(ctx, sandbox, func(s *llmsafespacev1.Sandbox) { refused(&s.Status, refusal, c.clock.Now()) })
		return refusalRetry, err
	}
	if err != nil {
		return 0, fmt.Errorf("launching the pod of sandbox %s/%s: %w", sandbox.Namespace, sandbox.Name, err)
	}
	klog.FromContext(ctx).V(4).Info("Launched a pod", "sandbox", klog.KObj(sandbox), "pod", pod.Name, "took", c.clock.Since(began))
	return 0, c.bind(ctx, sandbox, pod, began)
}

// bind tells the gateway whose the pod is, and then everybody that there is one.
func (c *Controller) bind(ctx context.Context, sandbox *llmsafespacev1.Sandbox, pod launcher.Pod, began time.Time) error {
	err := c.bindings.Bind(ctx, sandbox, pod)
	switch {
	case apierrors.IsConflict(err):
		// It had another one, which is gone and was not written down. That one
		// was its pod for life.
		klog.FromContext(ctx).Info("A second pod is not bound, and goes", "sandbox", klog.KObj(sandbox), "pod", pod.Name, "err", err)
		if err := c.end(ctx, sandbox, ending{llmsafespacev1.SandboxFailed, c.lost.reason, c.lost.message}); err != nil {
			return err
		}
		return c.launcher.Delete(ctx, pod.Namespace, pod.Name, pod.UID)
	case apierrors.IsNotFound(err):
		return nil // the sandbox is gone: the informer will say so, and the pod goes
	case err != nil:
		return fmt.Errorf("binding pod %s/%s to its sandbox: %w", pod.Namespace, pod.Name, err)
	}
	var timings *llmsafespacev1.SandboxTimings
	if age, ok := c.since(sandbox); ok {
		timings = &llmsafespacev1.SandboxTimings{
			QueuedMilliseconds: max(0, age-c.clock.Since(began)).Milliseconds(), BoundMilliseconds: max(age.Milliseconds(), 1),
		}
	}
	return c.observe(ctx, sandbox, pod, timings)
}

// observe opens the pod's network as the sandbox asks for, and writes down where
// the pod is. A claimed pod has the network of its pool until it gets its own.
func (c *Controller) observe(ctx context.Context, sandbox *llmsafespacev1.Sandbox, pod launcher.Pod, timings *llmsafespacev1.SandboxTimings) error {
	err := c.launcher.Open(ctx, pod, sandbox.Namespace, sandbox.Spec.NetworkAccess)
	var refusal *launcher.Refusal
	if errors.As(err, &refusal) {
		// It runs with less than it asks for, and says so.
		if !slices.Contains(pod.Notes, refusal.Message) {
			pod.Notes = append(slices.Clone(pod.Notes), refusal.Message)
		}
	} else if err != nil {
		return fmt.Errorf("opening the network of sandbox %s/%s: %w", sandbox.Namespace, sandbox.Name, err)
	}
	_, err = c.write(ctx, sandbox, func(s *llmsafespacev1.Sandbox) { observed(s, pod, timings, c.clock.Now()) })
	return err
}

// end drops the binding, so that nobody reaches the pod any more, and then says
// that the sandbox is over.
func (c *Controller) end(ctx context.Context, sandbox *llmsafespacev1.Sandbox, end ending) error {
	if err := c.bindings.Drop(ctx, sandbox); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("dropping the binding of sandbox %s/%s: %w", sandbox.Namespace, sandbox.Name, err)
	}
	_, err := c.write(ctx, sandbox, func(s *llmsafespacev1.Sandbox) { ended(&s.Status, end, c.clock.Now()) })
	return err
}

// release lets the object go.
func (c *Controller) release(ctx context.Context, sandbox *llmsafespacev1.Sandbox) error {
	if !slices.Contains(sandbox.Finalizers, llmsafespacev1.SandboxFinalizer) {
		return nil
	}
	if err := c.bindings.Drop(ctx, sandbox); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("dropping the binding of sandbox %s/%s: %w", sandbox.Namespace, sandbox.Name, err)
	}
	if err := c.launcher.Release(ctx, ownerOf(sandbox)); err != nil {
		return fmt.Errorf("removing what is left of sandbox %s/%s: %w", sandbox.Namespace, sandbox.Name, err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": sandbox.UID, "resourceVersion": sandbox.ResourceVersion,
		"finalizers": slices.DeleteFunc(slices.Clone(sandbox.Finalizers), func(f string) bool { return f == llmsafespacev1.SandboxFinalizer }),
	}})
	if err != nil {
		return err
	}
	_, err = c.client.LlmsafespaceV1().Sandboxes(sandbox.Namespace).Patch(ctx, sandbox.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
