// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/warmpods"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

const (
	// A step is a write, or a short call to sandboxd; bursts of pods come.
	workers = 32
	// awayGrace is how long a pod may be away before that is written down.
	awayGrace = 2 * time.Second
	// restTime is how long a pod is on the shelf before it is asked once more: longer
	// than a sandboxd takes to come to rest from its start.
	restTime = 2 * time.Second
	// healthTimeout bounds a question to a sandboxd.
	healthTimeout = 5 * time.Second
	// askedDelay gathers the claims of a burst, askedInterval is between two
	// writes of a pool's demand.
	askedDelay    = 100 * time.Millisecond
	askedInterval = time.Second
	// defaultWindow is how long a peak of demand counts where the pool names no
	// scaleDownDelay.
	defaultWindow = 300

	reasonPreloadFailed = "PreloadFailed"
	reasonDisconnected  = "Disconnected"
	fieldManager        = "safebeam-apiserver"
)

// Options are what the controller works on.
type Options struct {
	Client versioned.Interface
	// The informers are run by the caller.
	Pools, Pods, Environments, Profiles cache.SharedIndexInformer
	Shelf                               *warmpods.Shelf
	Objects                             warmpods.Objects
	Metrics                             *warmpods.Metrics
	// Binding is the pod of a WarmPod.
	Binding func(owner types.UID) (bindings.Binding, bool)
	// Connection is the sandbox of a pod, connected or not.
	Connection func(pod types.UID) *sandboxes.Sandbox
	// Interpreter is how code of a language is run that comes by stdin.
	Interpreter func(language string) (argv []string, ok bool)
	Clock       clock.WithTicker
}

// Controller is the loop of the warm pods that have a connection.
type Controller struct {
	Options
	pods   *loop.Loop
	demand *loop.Loop

	preloads  sync.WaitGroup
	preloader chan struct{}

	mu sync.Mutex
	// known is what is remembered of each WarmPod, by UID.
	known map[types.UID]*memory
	// told is when the demand of a pool was last written.
	told map[cache.ObjectName]time.Time
	stop context.CancelFunc
	ctx  context.Context
}

type memory struct {
	preloading bool
	preloaded  bool
	failure    string
	// awaySince is when its connection was first missed.
	awaySince time.Time
	// askAt is when a pod on the shelf is asked whether it is vacant; zero: it was.
	askAt time.Time
}

// New makes the loop and subscribes it to the informers.
func New(o Options) (*Controller, error) {
	c := &Controller{Options: o, preloader: make(chan struct{}, maxPreloading), known: map[types.UID]*memory{}, told: map[cache.ObjectName]time.Time{}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.pods = loop.New("warmpod-readiness", workers, o.Clock, c.sync)
	c.demand = loop.New("warmpool-demand", 1, o.Clock, c.syncDemand)
	if _, err := o.Pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue,
		UpdateFunc: func(_, obj any) { c.enqueue(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if pod, ok := obj.(*v1.WarmPod); ok {
				o.Shelf.Forget(pod.UID)
				c.forget(pod.UID)
			}
		},
	}); err != nil {
		return nil, err
	}
	if _, err := o.Pools.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.poolChanged,
		UpdateFunc: func(old, obj any) {
			a, b := old.(*v1.WarmPool), obj.(*v1.WarmPool)
			if a.UID != b.UID || a.Generation != b.Generation || (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) {
				c.poolChanged(obj)
			}
		},
		DeleteFunc: func(obj any) {
			if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
				o.Shelf.RemovePool(types.NamespacedName(name))
			}
		},
	}); err != nil {
		return nil, err
	}
	everyPool := func(any) {
		for _, obj := range o.Pools.GetStore().List() {
			c.poolChanged(obj)
		}
	}
	for _, informer := range []cache.SharedIndexInformer{o.Environments, o.Profiles} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: everyPool, UpdateFunc: func(_, obj any) { everyPool(obj) }, DeleteFunc: everyPool,
		}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Controller) enqueue(obj any) {
	if pod, ok := obj.(*v1.WarmPod); ok {
		c.pods.Enqueue(cache.MetaObjectToName(pod))
	}
}

// Connected is told when the sandboxd of a WarmPod comes or goes. It does not
// block: live.Live calls it.
func (c *Controller) Connected(binding bindings.Binding, connected bool) {
	if !connected {
		c.Shelf.Remove(binding.Owner.UID)
	}
	c.pods.Enqueue(cache.ObjectName{Namespace: binding.Owner.Namespace, Name: binding.Owner.Name})
}

// Asked is told when a sandbox asked for a pod of a pool.
func (c *Controller) Asked(pool types.NamespacedName) {
	c.demand.EnqueueAfter(cache.ObjectName(pool), askedDelay)
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	defer c.preloads.Wait()
	defer c.stop()
	synced := []cache.InformerSynced{c.Pools.HasSynced, c.Pods.HasSynced, c.Environments.HasSynced, c.Profiles.HasSynced}
	var group errgroup.Group
	group.Go(func() error {
		if cache.WaitForCacheSync(ctx.Done(), synced...) {
			for _, obj := range c.Pools.GetStore().List() {
				c.poolChanged(obj)
			}
			c.Shelf.Known()
		}
		return nil
	})
	group.Go(func() error { return c.pods.Run(ctx, synced...) })
	group.Go(func() error { return c.demand.Run(ctx, synced...) })
	return group.Wait()
}

// poolChanged tells the shelf what a pool is now.
func (c *Controller) poolChanged(obj any) {
	pool, ok := obj.(*v1.WarmPool)
	if !ok {
		return
	}
	name := types.NamespacedName{Namespace: pool.Namespace, Name: pool.Name}
	if pool.DeletionTimestamp != nil {
		c.Shelf.RemovePool(name)
		return
	}
	info := warmpods.Pool{
		NamespacedName: name, UID: pool.UID, Runtime: pool.Spec.Runtime, SecurityLevel: pool.Spec.SecurityLevel,
		Allowed: pool.Spec.AllowedNamespaces, MinSize: int(pool.Spec.MinSize),
	}
	if environment := c.environment(pool); environment != nil {
		if profile, ok := c.profile(pool); ok {
			info.Template = fit.Design(pool, environment, profile)
		}
	}
	c.Shelf.SetPool(info)
	// Pods that were Ready before their pool was known.
	for _, obj := range c.Pods.GetStore().List() {
		if pod := obj.(*v1.WarmPod); pod.Namespace == pool.Namespace && pod.Spec.PoolRef.Name == pool.Name {
			c.enqueue(pod)
		}
	}
}

func (c *Controller) environment(pool *v1.WarmPool) *v1.RuntimeEnvironment {
	var environments []v1.RuntimeEnvironment
	for _, obj := range c.Environments.GetStore().List() {
		environments = append(environments, *obj.(*v1.RuntimeEnvironment))
	}
	return policy.Resolve(environments, pool.Spec.Runtime)
}

func (c *Controller) profile(pool *v1.WarmPool) (*v1.SandboxProfile, bool) {
	ref := pool.Spec.ProfileRef
	if ref == nil {
		return nil, true
	}
	name := cache.ObjectName{Namespace: ref.Namespace, Name: ref.Name}
	if name.Namespace == "" {
		name.Namespace = pool.Namespace
	}
	obj, exists, err := c.Profiles.GetStore().GetByKey(name.String())
	if err != nil || !exists {
		return nil, false
	}
	return obj.(*v1.SandboxProfile), true
}

func (c *Controller) remember(uid types.UID, f func(*memory)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.known[uid]
	if m == nil {
		m = &memory{}
		c.known[uid] = m
	}
	f(m)
}

func (c *Controller) recall(uid types.UID) memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.known[uid]; m != nil {
		return *m
	}
	return memory{}
}

func (c *Controller) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, uid)
}

// sync brings one WarmPod forward.
func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.Pods.GetStore().GetByKey(name.String())
	if err != nil || !exists {
		return 0, err
	}
	pod := obj.(*v1.WarmPod)
	if pod.DeletionTimestamp != nil || pod.Status.Phase == v1.WarmPodTerminating {
		c.Shelf.Remove(pod.UID)
		return 0, nil
	}
	if pod.Status.PoolUID == "" || pod.Status.Phase == v1.WarmPodAssigned || c.Shelf.Taken(pod.UID) {
		return 0, nil
	}
	binding, bound := c.Binding(pod.UID)
	if !bound {
		return 0, nil // its connection waits for that, and tells
	}
	connection := c.Connection(binding.PodUID)
	if connection == nil {
		return 0, nil
	}
	if !connection.Connected() {
		c.Shelf.Remove(pod.UID)
		return c.away(ctx, pod)
	}
	c.remember(pod.UID, func(m *memory) { m.awaySince = time.Time{} })
	if pod.Status.Phase == v1.WarmPodReady {
		return 0, c.shelve(ctx, pod, binding.PodUID, connection)
	}
	return c.prepare(ctx, pod, binding.PodUID, connection)
}

// away says after a while that a Ready pod has lost its connection.
func (c *Controller) away(ctx context.Context, pod *v1.WarmPod) (time.Duration, error) {
	if pod.Status.Phase != v1.WarmPodReady {
		return 0, nil
	}
	now := c.Clock.Now()
	var since time.Time
	c.remember(pod.UID, func(m *memory) {
		if m.awaySince.IsZero() {
			m.awaySince = now
		}
		since = m.awaySince
	})
	if left := since.Add(awayGrace).Sub(now); left > 0 {
		return left, nil
	}
	_, err := c.Objects.Update(ctx, pod, func(stored *v1.WarmPod) error {
		s := &stored.Status
		if s.Phase != v1.WarmPodReady {
			return errChanged
		}
		s.Phase, s.Reason, s.Message = v1.WarmPodPending, reasonDisconnected, "sandboxd is not connected"
		s.LastHeartbeat = ptr.To(metav1.NewTime(since))
		return nil
	})
	return 0, ignore(err)
}

// errChanged: the pod is not what it was.
var errChanged = errors.New("the pod has changed")

func ignore(err error) error {
	if errors.Is(err, errChanged) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// prepare makes a connected pod Ready.
func (c *Controller) prepare(ctx context.Context, pod *v1.WarmPod, podUID types.UID, connection *sandboxes.Sandbox) (time.Duration, error) {
	if pod.Status.Reason == reasonPreloadFailed {
		return 0, nil // it is replaced
	}
	known := c.recall(pod.UID)
	if known.failure != "" {
		return 0, c.failed(ctx, pod, known.failure)
	}
	if pod.Status.ReadyTime == nil && !known.preloaded {
		todo, wait, err := c.steps(pod)
		switch {
		case wait || known.preloading:
			return 0, nil
		case err != nil:
			return 0, c.failed(ctx, pod, err.Error())
		case len(todo) > 0:
			c.preload(pod, connection, todo)
			return 0, nil
		}
	}
	// Who is told that it is ready finds it on the shelf: what takes time comes
	// before. No claim has met a pod that was never Ready.
	first := pod.Status.ReadyTime == nil
	if !first {
		if vacant, err := c.vacant(ctx, pod, connection); !vacant {
			return 0, err
		}
	}
	now := c.Clock.Now()
	ready, err := c.Objects.Update(ctx, pod, func(stored *v1.WarmPod) error {
		s := &stored.Status
		if s.Phase != v1.WarmPodPending || stored.DeletionTimestamp != nil {
			return errChanged
		}
		s.Phase, s.Reason, s.Message = v1.WarmPodReady, "", ""
		s.LastHeartbeat = ptr.To(metav1.NewTime(now))
		if s.ReadyTime == nil {
			s.ReadyTime = ptr.To(metav1.NewTime(now))
		}
		return nil
	})
	if err != nil {
		return 0, ignore(err)
	}
	if first {
		c.Shelf.Made(ready, now.Sub(pod.CreationTimestamp.Time))
	}
	c.put(ready, podUID, connection)
	return 0, nil
}

func poolOf(pod *v1.WarmPod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Spec.PoolRef.Name}
}

// steps are the preload of a pod. wait says that its pool's loop has yet to say
// whether the pool's spec is still what the pod is made by.
func (c *Controller) steps(pod *v1.WarmPod) (todo []step, wait bool, err error) {
	obj, exists, err := c.Pools.GetStore().GetByKey(poolOf(pod).String())
	if err != nil || !exists {
		return nil, true, err
	}
	pool := obj.(*v1.WarmPool)
	if pool.UID != pod.Status.PoolUID || pool.Generation != pod.Status.PoolGeneration {
		return nil, true, nil
	}
	obj, exists, err = c.Environments.GetStore().GetByKey(pod.Status.RuntimeEnvironment)
	if err != nil || !exists {
		return nil, true, err
	}
	todo, err = steps(&pool.Spec, obj.(*v1.RuntimeEnvironment), pod.Status.Filesystem, c.Interpreter)
	return todo, false, err
}

// preload runs the steps beside the loop, which is told of the end.
func (c *Controller) preload(pod *v1.WarmPod, connection *sandboxes.Sandbox, todo []step) {
	c.remember(pod.UID, func(m *memory) { m.preloading = true })
	c.preloads.Go(func() {
		select {
		case c.preloader <- struct{}{}:
			defer func() { <-c.preloader }()
		case <-c.ctx.Done():
			return
		}
		err := preload(c.ctx, connection, todo)
		if err != nil && c.ctx.Err() == nil {
			klog.Background().Info("A preload failed", "warmPod", klog.KObj(pod), "err", err)
		}
		c.remember(pod.UID, func(m *memory) {
			m.preloading = false
			switch {
			case err == nil:
				m.preloaded = true
			case !errors.Is(err, errAway):
				m.failure = err.Error()
			}
		})
		c.enqueue(pod)
	})
}

func (c *Controller) failed(ctx context.Context, pod *v1.WarmPod, message string) error {
	_, err := c.Objects.Update(ctx, pod, func(stored *v1.WarmPod) error {
		if stored.Status.Phase != v1.WarmPodPending {
			return errChanged
		}
		stored.Status.Reason, stored.Status.Message = reasonPreloadFailed, message
		return nil
	})
	return ignore(err)
}

// syncDemand writes down what was asked of a pool of late.
func (c *Controller) syncDemand(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.Pools.GetStore().GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	if !exists {
		c.mu.Lock()
		delete(c.told, name)
		c.mu.Unlock()
		return 0, nil
	}
	pool := obj.(*v1.WarmPool)
	window := int32(defaultWindow)
	if scaling := pool.Spec.AutoScaling; scaling != nil {
		window = ptr.Deref(scaling.ScaleDownDelay, window)
	}
	now := c.Clock.Now()
	d := c.Shelf.Demand(types.NamespacedName(name), time.Duration(window)*time.Second)
	c.Metrics.Refilled(types.NamespacedName(name), d.Lags)
	var after time.Duration
	if !d.PeakUntil.IsZero() {
		after = max(d.PeakUntil.Sub(now), askedInterval)
	}
	if ptr.Equal(d.HitRate, pool.Status.HitRate) && int32(d.Peak) == pool.Status.PeakDemand {
		return after, nil
	}
	c.mu.Lock()
	next := c.told[name].Add(askedInterval)
	if !next.After(now) {
		c.told[name] = now
	}
	c.mu.Unlock()
	if next.After(now) {
		return next.Sub(now), nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pool.UID},
		"status":   map[string]any{"hitRate": d.HitRate, "peakDemand": d.Peak},
	})
	if err != nil {
		return 0, err
	}
	_, err = c.Client.LlmsafespaceV1().WarmPools(name.Namespace).Patch(ctx, name.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return after, err
}
