// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"golang.org/x/sync/errgroup"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	// PoolFinalizer keeps a deleted pool until its unused pods are on their way
	// out.
	PoolFinalizer = "llmsafespace.dev/warmpool"
	// PodFinalizer keeps a deleted WarmPod until its pod is gone, or as long as
	// a sandbox has it.
	PodFinalizer = "llmsafespace.dev/warmpod"
	// PoolLabel is on every WarmPod that a pool's loop makes.
	PoolLabel = "llmsafespace.dev/pool"

	fieldManager = "safebeam-controller"
	// A pool's step is short, but for what it creates.
	poolWorkers = 4
	// refillDelay is between a claim and the making of the pod for it.
	refillDelay = 30 * time.Millisecond
	// A pod's step waits for two or three short requests, and a burst of pods
	// should not wait in one line.
	podWorkers = 16
	// maxWritten bounds the writes that are remembered at a time. One that is
	// forgotten too early is made again, to the same effect.
	maxWritten = 10_000
)

// Options are what the controller works on.
type Options struct {
	Client versioned.Interface
	// The informers are run by the caller.
	Pools, Pods, Sandboxes, Environments, Profiles cache.SharedIndexInformer
	Launcher                                       launcher.SandboxLauncher
	Bindings                                       Bindings
	// Recorder tells what happens as events; nil: nobody.
	Recorder record.EventRecorder
	Clock    clock.WithTicker
}

// Controller is the loops of warm pools and of their pods.
type Controller struct {
	Options
	// written has our own writes of WarmPods until the informer has caught up
	// with them, so that no step is taken twice.
	written cache.MutationCache
	pools   *loop.Loop
	pods    *loop.Loop

	mu sync.Mutex
	// known is what is remembered of each pool, by its UID. It leaves with it.
	known map[types.UID]*memory
}

// memory is what is remembered of a pool.
type memory struct {
	history history
	scale   scale
	// creating are the WarmPods that were made and that the informer does not
	// show yet.
	creating map[string]time.Time
	// told is when the pool's status was last written.
	told time.Time
	// spoken has what was last said as an event, so that it is said once.
	spoken map[string]string
}

// indexPool indexes WarmPods by NAMESPACE/NAME of their pool.
const indexPool = "pool"

// New makes the loops and subscribes them to the informers and the launcher.
func New(o Options) (*Controller, error) {
	if o.Recorder == nil {
		o.Recorder = silent{}
	}
	c := &Controller{
		Options: o, known: map[types.UID]*memory{},
		written: cache.NewIntegerResourceVersionMutationCacheWithOptions(klog.Background(), o.Pods.GetStore(), cache.MutationCacheOptions{MaxCacheSize: maxWritten}),
	}
	c.pools = loop.New("warmpool", poolWorkers, o.Clock, c.syncPool)
	c.pods = loop.New("warmpod", podWorkers, o.Clock, c.syncPod)
	if err := o.Pods.AddIndexers(cache.Indexers{indexPool: func(obj any) ([]string, error) {
		return []string{poolOf(obj.(*v1.WarmPod)).String()}, nil
	}}); err != nil {
		return nil, err
	}
	if _, err := o.Pools.AddEventHandler(each(c.enqueuePool)); err != nil {
		return nil, err
	}
	onPods := each(c.enqueuePod).(cache.ResourceEventHandlerFuncs)
	onPods.UpdateFunc = c.podChanged
	if _, err := o.Pods.AddEventHandler(onPods); err != nil {
		return nil, err
	}
	if _, err := o.Sandboxes.AddEventHandler(each(c.sandboxChanged)); err != nil {
		return nil, err
	}
	everyPool := func(any) {
		for _, key := range c.Pools.GetStore().ListKeys() {
			if name, err := cache.ParseObjectName(key); err == nil {
				c.pools.Enqueue(name)
			}
		}
	}
	for _, informer := range []cache.SharedIndexInformer{o.Environments, o.Profiles} {
		if _, err := informer.AddEventHandler(each(everyPool)); err != nil {
			return nil, err
		}
	}
	o.Launcher.OnChange(func(pod launcher.Pod) {
		if pod.Owner.Kind == launcher.OwnerWarmPod {
			c.pods.Enqueue(cache.ObjectName{Namespace: pod.Owner.Namespace, Name: pod.Owner.Name})
		}
	})
	return c, nil
}

// each calls f with every object that comes, changes or goes.
func each(f func(obj any)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    f,
		UpdateFunc: func(_, obj any) { f(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			f(obj)
		},
	}
}

func poolOf(pod *v1.WarmPod) cache.ObjectName {
	return cache.ObjectName{Namespace: pod.Namespace, Name: pod.Spec.PoolRef.Name}
}

func (c *Controller) enqueuePool(obj any) {
	c.pools.Enqueue(cache.MetaObjectToName(obj.(*v1.WarmPool)))
}

func (c *Controller) enqueuePod(obj any) {
	pod := obj.(*v1.WarmPod)
	c.seen(pod)
	c.pods.Enqueue(cache.MetaObjectToName(pod))
	c.pools.Enqueue(poolOf(pod))
}

// podChanged is enqueuePod for a pod that was there. One that was claimed is made
// up for a moment later: a burst of claims is not to share the machine with the
// pods that are made for it.
func (c *Controller) podChanged(old, obj any) {
	before, pod := old.(*v1.WarmPod), obj.(*v1.WarmPod)
	c.seen(pod)
	if before.Status.Phase != v1.WarmPodReady || pod.Status.Phase != v1.WarmPodAssigned {
		c.enqueuePod(obj)
		return
	}
	c.pods.Enqueue(cache.MetaObjectToName(pod))
	c.pools.EnqueueAfter(poolOf(pod), refillDelay)
}

// seen takes note of a WarmPod that the informer shows. Its pool may not look
// before it is gone again: under a burst, one is made, claimed and over within one
// round of making others.
func (c *Controller) seen(pod *v1.WarmPod) {
	if pod.Status.PoolUID == "" && pod.DeletionTimestamp == nil {
		return // not described yet: no pool counts it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.known {
		delete(m.creating, pod.Name)
	}
}

// sandboxChanged looks at the pod of a sandbox that may be over.
func (c *Controller) sandboxChanged(obj any) {
	if ref := obj.(*v1.Sandbox).Status.WarmPodRef; ref != nil {
		c.pods.Enqueue(cache.ObjectName{Namespace: ref.Namespace, Name: ref.Name})
	}
}

// Run works until ctx ends. Pods are left as they are: they are the launcher's.
func (c *Controller) Run(ctx context.Context) error {
	// Pods whose WarmPod went away while no controller looked.
	for _, pod := range c.Launcher.Pods() {
		if pod.Owner.Kind == launcher.OwnerWarmPod {
			c.pods.Enqueue(cache.ObjectName{Namespace: pod.Owner.Namespace, Name: pod.Owner.Name})
		}
	}
	synced := []cache.InformerSynced{c.Pools.HasSynced, c.Pods.HasSynced, c.Sandboxes.HasSynced, c.Environments.HasSynced, c.Profiles.HasSynced}
	var group errgroup.Group
	group.Go(func() error { return c.pools.Run(ctx, synced...) })
	group.Go(func() error { return c.pods.Run(ctx, synced...) })
	return group.Wait()
}

// remember works on what is remembered of a pool.
func (c *Controller) remember(uid types.UID, f func(*memory)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.known[uid]
	if m == nil {
		m = &memory{creating: map[string]time.Time{}, spoken: map[string]string{}}
		c.known[uid] = m
	}
	f(m)
}

func (c *Controller) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, uid)
}

// template is what a pool's pods are made as. The error is a *launcher.Refusal if
// it names what is not there, or not enough.
func (c *Controller) template(pool *v1.WarmPool) (*fit.Template, *v1.RuntimeEnvironment, error) {
	var environments []v1.RuntimeEnvironment
	for _, obj := range c.Environments.GetStore().List() {
		environments = append(environments, *obj.(*v1.RuntimeEnvironment))
	}
	environment := policy.Resolve(environments, pool.Spec.Runtime)
	if environment == nil {
		return nil, nil, &launcher.Refusal{Reason: "RuntimeNotFound", Message: fmt.Sprintf("no RuntimeEnvironment serves the runtime %q", pool.Spec.Runtime)}
	}
	var profile *v1.SandboxProfile
	if ref := pool.Spec.ProfileRef; ref != nil {
		name := cache.ObjectName{Namespace: ref.Namespace, Name: ref.Name}
		if name.Namespace == "" {
			name.Namespace = pool.Namespace
		}
		obj, exists, err := c.Profiles.GetStore().GetByKey(name.String())
		if err != nil {
			return nil, nil, err
		}
		if !exists {
			return nil, nil, &launcher.Refusal{Reason: "ProfileNotFound", Message: fmt.Sprintf("SandboxProfile %s does not exist (any more)", name)}
		}
		profile = obj.(*v1.SandboxProfile)
	}
	design := fit.Design(pool, environment, profile)
	if errs := policy.HeldByRuntime(environment, &design.Resources, field.NewPath("spec", "resources")); len(errs) > 0 {
		// No sandbox could ever have such a pod: it would have to ask for more.
		return nil, nil, &launcher.Refusal{Reason: "ResourcesTooSmall", Message: errs.ToAggregate().Error()}
	}
	return design, environment, nil
}

// say records an event, once until something else is said of the same.
func (c *Controller) say(pool *v1.WarmPool, kind, reason, message string) {
	said := false
	c.remember(pool.UID, func(m *memory) {
		said = m.spoken[reason] == message
		m.spoken[reason] = message
	})
	if !said {
		c.Recorder.Event(pool, kind, reason, message)
	}
}

// silent records nothing.
type silent struct{}

func (silent) Event(runtime.Object, string, string, string)          {}
func (silent) Eventf(runtime.Object, string, string, string, ...any) {}
func (silent) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {
}

var _ record.EventRecorder = silent{}

const (
	normal  = corev1.EventTypeNormal
	warning = corev1.EventTypeWarning
)

// asRefusal takes a refusal out of an error.
func asRefusal(err error) *launcher.Refusal {
	var refusal *launcher.Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return nil
}
