// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package loop is the one shape of every controller: informers put names into
// a queue, and sync brings one name's world to what its objects ask for.
//
// Laws:
//   - One name is synced by at most one worker at a time. A name that changes
//     meanwhile is synced again afterwards.
//   - A failed sync is repeated, later and later, and never forgotten.
//   - The queue holds a name once, so it is bounded by the number of objects.
//   - Run returns after its last worker has.
package loop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// A conflict is over as soon as the informer has caught up, which takes
	// milliseconds; an API that is away is not asked more than twice a minute.
	firstRetry = 5 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Sync brings one name's world to what its objects ask for. It must be
// idempotent. A requeueAfter above zero asks to be called again then, whether
// anything changes or not.
type Sync func(ctx context.Context, name cache.ObjectName) (requeueAfter time.Duration, err error)

// Loop is a queue of names and what is done with them.
type Loop struct {
	name    string
	workers int
	sync    Sync
	queue   workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// New makes a loop. Names may be put into it at once; they are synced when Run
// is called.
func New(name string, workers int, clk clock.WithTicker, sync Sync) *Loop {
	return &Loop{
		name:    name,
		workers: workers,
		sync:    sync,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Name: name, Clock: clk},
		),
	}
}

// Enqueue asks for a sync of name as soon as a worker is free.
func (l *Loop) Enqueue(name cache.ObjectName) { l.queue.Add(name) }

// EnqueueAfter asks for a sync of name after a while. Of several times that
// are asked for, the earliest counts.
func (l *Loop) EnqueueAfter(name cache.ObjectName, after time.Duration) {
	l.queue.AddAfter(name, after)
}

// Run waits until the informers have synced and works until ctx ends.
func (l *Loop) Run(ctx context.Context, synced ...cache.InformerSynced) error {
	logger := klog.LoggerWithName(klog.FromContext(ctx), l.name)
	ctx = klog.NewContext(ctx, logger)
	// The queue's own goroutine must end on every way out.
	defer l.queue.ShutDown()

	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("controller %s: informers did not sync", l.name)
	}

	var workers sync.WaitGroup
	for range l.workers {
		workers.Go(func() {
			for l.work(ctx) {
			}
		})
	}
	<-ctx.Done()
	l.queue.ShutDown()
	workers.Wait()
	return nil
}

func (l *Loop) work(ctx context.Context) bool {
	name, shutdown := l.queue.Get()
	if shutdown {
		return false
	}
	defer l.queue.Done(name)
	if ctx.Err() != nil {
		// Shutting down drains the queue; what is left is done by whoever
		// starts next, from the informers' first list.
		return true
	}

	began := time.Now()
	after, err := l.sync(ctx, name)
	observe(l.name, began, err)
	switch {
	case err == nil:
		l.queue.Forget(name)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return true
	default:
		logger := klog.FromContext(ctx)
		if apierrors.IsConflict(err) {
			logger.V(4).Info("Will sync again, the object has changed meanwhile", "object", name.String(), "err", err)
		} else {
			logger.Error(err, "Sync failed, will try again", "object", name.String(), "failures", l.queue.NumRequeues(name)+1)
		}
		l.queue.AddRateLimited(name)
	}
	if after > 0 {
		l.queue.AddAfter(name, after)
	}
	return true
}
