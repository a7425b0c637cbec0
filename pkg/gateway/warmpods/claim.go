// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

const (
	// createTimeout bounds all of one create below admission. It does not end
	// with the client's connection: half of it would be worse than all.
	createTimeout = 30 * time.Second
	// configureTimeout bounds what a sandboxd may take to answer. It is far more
	// than it needs and far less than a cold start.
	configureTimeout = 2 * time.Second
	// maxPods is how many pods a create tries before it goes on cold. A pod that
	// cannot be bound is rare; several in a row are a fault that more of them
	// would only spread to.
	maxPods = 3
	// settleRetry is between two attempts to write what must be written.
	settleRetry = time.Second
)

// Binder moves a pod from its WarmPod to a sandbox: bindings.Store.
type Binder interface {
	ClaimWith(ctx context.Context, podUID types.UID, from, to bindings.Owner, other func() error) error
	Drop(ctx context.Context, podUID types.UID) error
	List(ctx context.Context) ([]bindings.Binding, error)
}

// Live knows the sandboxes and stands over the connections of their sandboxds:
// live.Live.
type Live interface {
	// Configure hands the sandboxd of the pod what is the sandbox's own, and
	// returns once that is in force.
	Configure(ctx context.Context, sandbox *v1.Sandbox, podUID types.UID) error
	// Find is the sandbox of that name as it is stored, nil if there is none.
	Find(namespace, name string) *v1.Sandbox
}

// Options are what the claim stands on.
type Options struct {
	Shelf    *Shelf
	Objects  Objects
	Bindings Binder
	Live     Live
	// Sandbox reads a sandbox as it is stored now; NotFound if there is none.
	Sandbox func(ctx context.Context, namespace, name string) (*v1.Sandbox, error)
	Metrics *Metrics
	Clock   clock.Clock
}

// Claimer is the allocator.
type Claimer struct {
	Options
	names names

	ctx  context.Context
	stop context.CancelFunc
	// tasks is what goes on after its request: it is waited for by Run.
	tasks sync.WaitGroup
}

// New makes an allocator.
func New(o Options) *Claimer {
	ctx, stop := context.WithCancel(context.Background())
	return &Claimer{Options: o, names: names{held: map[string]*name{}}, ctx: ctx, stop: stop}
}

// Run waits until ctx ends, and for what creates have left to do. What cannot be
// finished then is found by the next process's Recover.
func (c *Claimer) Run(ctx context.Context) error {
	<-ctx.Done()
	c.stop()
	c.tasks.Wait()
	return nil
}

// claim binds a pod to the sandbox, whose status it fills in. The refusal says
// why there is none.
func (c *Claimer) claim(ctx context.Context, sandbox *v1.Sandbox, began time.Time) (*Pod, *Refusal) {
	var failures []error
	for range maxPods {
		pod, refusal := c.Shelf.Take(sandbox)
		if refusal != nil {
			if len(failures) > 0 {
				refusal.Message += fmt.Sprintf("; %d could not be bound: %v", len(failures), errors.Join(failures...))
			}
			return nil, refusal
		}
		chosen := c.Clock.Now()
		err := c.bind(ctx, pod, sandbox)
		if err == nil {
			running(sandbox, pod, began, chosen, c.Clock.Now())
			return pod, nil
		}
		klog.FromContext(ctx).Error(err, "A warm pod could not be bound, and is destroyed", "warmPod", klog.KObj(pod.Object), "sandbox", klog.KObj(sandbox))
		c.Metrics.failed(pod.Object)
		c.condemn(pod, "ClaimFailed", err.Error())
		failures = append(failures, err)
		// An owner has one pod for life, and this one's may be bound already.
		// Nobody has heard of the UID yet.
		sandbox.UID = uuid.NewUUID()
	}
	return nil, &Refusal{Reason: ReasonClaimFailed, Message: errors.Join(failures...).Error()}
}

// bind makes the pod the sandbox's. Its three steps need nothing of each other:
// any that fails has the pod destroyed, whatever the others did. Both writes are
// ordered ahead of the sandbox's, and where the store can, are durable with that.
func (c *Claimer) bind(ctx context.Context, pod *Pod, sandbox *v1.Sandbox) error {
	var written error
	var writes sync.WaitGroup
	writes.Go(func() {
		from, to := owner(bindings.WarmPod, pod.Object), owner(bindings.Sandbox, sandbox)
		written = c.Bindings.ClaimWith(ctx, pod.PodUID, from, to, func() error {
			return c.Objects.assign(ctx, pod.Object, sandbox, metav1.NewMicroTime(c.Clock.Now()))
		})
	})
	configure, cancel := context.WithTimeout(ctx, configureTimeout)
	configured := c.Live.Configure(configure, sandbox, pod.PodUID)
	cancel()
	writes.Wait()
	if configured != nil {
		configured = fmt.Errorf("configuring its sandboxd: %w", configured)
	}
	return errors.Join(written, configured)
}

func owner(kind string, object metav1.Object) bindings.Owner {
	return bindings.Owner{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID()}
}

// condemn has a pod destroyed that was taken and serves no sandbox. It tries
// until it is written, or the process ends.
func (c *Claimer) condemn(pod *Pod, reason, message string) {
	c.task(func(ctx context.Context) {
		_ = c.insist(ctx, func(ctx context.Context) error { return c.destroy(ctx, pod, reason, message) })
	})
}

// destroy has the pod removed by its pool's loop, and keeps it from being
// reached until then.
func (c *Claimer) destroy(ctx context.Context, pod *Pod, reason, message string) error {
	if err := c.Objects.Condemn(ctx, pod.Object, reason, message); err != nil {
		return err
	}
	return c.Bindings.Drop(ctx, pod.PodUID)
}

// settle finds out whether a sandbox whose create failed is stored after all,
// and has its pod destroyed if not.
func (c *Claimer) settle(pod *Pod, sandbox *v1.Sandbox, because error) {
	sandbox = sandbox.DeepCopy()
	c.task(func(ctx context.Context) {
		if statuses.Undecided(because) {
			c.sleep(ctx, createTimeout) // the write may still be on its way
		}
		_ = c.insist(ctx, func(ctx context.Context) error {
			there, err := c.stored(ctx, sandbox.Namespace, sandbox.Name, sandbox.UID)
			switch {
			case err != nil:
				return err
			case there != nil:
				return nil // it has its pod, and lives
			}
			return c.destroy(ctx, pod, reasonNotStored, because.Error())
		})
	})
}

func (c *Claimer) task(do func(ctx context.Context)) {
	c.tasks.Go(func() { do(c.ctx) })
}

// insist repeats what fails until the process ends.
func (c *Claimer) insist(ctx context.Context, do func(ctx context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		klog.FromContext(ctx).Error(err, "Will try again")
		c.sleep(ctx, settleRetry)
	}
}

func (c *Claimer) sleep(ctx context.Context, d time.Duration) {
	timer := c.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// names are the keys that are being created. Two creates of one name go one
// after the other, so that the second one finds the name taken and claims
// nothing.
type names struct {
	mu   sync.Mutex
	held map[string]*name
}

type name struct {
	mu    sync.Mutex
	users int
}

// hold waits until the key is free and holds it.
func (n *names) hold(key string) (release func()) {
	n.mu.Lock()
	h := n.held[key]
	if h == nil {
		h = &name{}
		n.held[key] = h
	}
	h.users++
	n.mu.Unlock()
	h.mu.Lock()
	return func() {
		h.mu.Unlock()
		n.mu.Lock()
		defer n.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(n.held, key)
		}
	}
}
