// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package modelcounts writes what the gateway knows of a model into its
// status: connected jobs, queued and running turns, and the sum of usage. The
// conditions are written by the loop of the jobs: each field has one writer.
//
// Laws:
//   - Counts are written at most once per interval and model, usage at most
//     once a minute: they are for people and for autoscalers.
//   - Usage that was counted and not written when the process dies is missing
//     from the sum; the attempts of the turns have the whole truth.
package modelcounts

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

const (
	interval      = time.Second
	usageInterval = time.Minute
)

// Counts are the numbers of one model.
type Counts struct{ Jobs, Queued, Running int32 }

// Options of a Controller.
type Options struct {
	Client versioned.Interface
	// Models is an informer that the caller runs.
	Models cache.SharedIndexInformer
	// Counts returns the numbers of a model as they are now.
	Counts func(namespace, model string) Counts
	Clock  clock.WithTicker
}

// Controller writes the counts of models.
type Controller struct {
	Options
	loop *loop.Loop

	mu    sync.Mutex
	usage map[cache.ObjectName]*pending
}

// pending is usage that is not in the status yet.
type pending struct {
	tightbeamv1.Usage
	written time.Time
}

// New makes the loop.
func New(o Options) (*Controller, error) {
	c := &Controller{Options: o, usage: map[cache.ObjectName]*pending{}}
	c.loop = loop.New("model-counts", 1, o.Clock, c.sync)
	_, err := o.Models.AddEventHandler(cache.ResourceEventHandlerFuncs{
		// A new process begins with other counts than the old one left.
		AddFunc: func(obj any) {
			if name, err := cache.ObjectToName(obj); err == nil {
				c.loop.Enqueue(name)
			}
		},
		// A count that was compared with an older status is compared again.
		UpdateFunc: func(_, obj any) {
			model := obj.(*tightbeamv1.TightbeamModel)
			if o.Counts(model.Namespace, model.Name) != written(model) {
				c.Changed(model.Namespace, model.Name)
			}
		},
		DeleteFunc: func(obj any) {
			if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
				c.mu.Lock()
				delete(c.usage, name)
				c.mu.Unlock()
			}
		},
	})
	return c, err
}

// Changed asks for the counts of a model to be written soon.
func (c *Controller) Changed(namespace, model string) {
	c.loop.EnqueueAfter(cache.NewObjectName(namespace, model), interval)
}

// Used adds what an attempt cost.
func (c *Controller) Used(namespace, model string, usage *tightbeamv1.Usage) {
	if usage == nil {
		return
	}
	name := cache.NewObjectName(namespace, model)
	c.mu.Lock()
	p := c.usage[name]
	if p == nil {
		p = &pending{}
		c.usage[name] = p
	}
	add(&p.Usage, usage)
	wait := max(usageInterval-c.Clock.Since(p.written), interval)
	c.mu.Unlock()
	c.loop.EnqueueAfter(name, wait)
}

func add(sum, more *tightbeamv1.Usage) {
	sum.InputTokens += more.InputTokens
	sum.OutputTokens += more.OutputTokens
	sum.CacheReadTokens += more.CacheReadTokens
	sum.CacheWriteTokens += more.CacheWriteTokens
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx, c.Models.HasSynced) }

func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.Models.GetIndexer().GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	if !exists {
		c.mu.Lock()
		delete(c.usage, name) // an attempt may end after its model
		c.mu.Unlock()
		return 0, nil
	}
	model := obj.(*tightbeamv1.TightbeamModel)
	counts := c.Counts(name.Namespace, name.Name)
	usage, due := c.due(name)
	if !due && written(model) == counts {
		return 0, nil
	}
	updated := model.DeepCopy()
	s := &updated.Status
	s.ConnectedJobs, s.QueuedTurns, s.RunningTurns = counts.Jobs, counts.Queued, counts.Running
	if due {
		if s.Usage == nil {
			s.Usage = &tightbeamv1.Usage{}
		}
		add(s.Usage, &usage)
	}
	_, err = c.Client.TightbeamV1().TightbeamModels(name.Namespace).UpdateStatus(ctx, updated, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err == nil && due {
		c.wrote(name, &usage)
	}
	return 0, err
}

func written(model *tightbeamv1.TightbeamModel) Counts {
	return Counts{Jobs: model.Status.ConnectedJobs, Queued: model.Status.QueuedTurns, Running: model.Status.RunningTurns}
}

// due returns the usage that is to be written, if it is time to.
func (c *Controller) due(name cache.ObjectName) (tightbeamv1.Usage, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.usage[name]
	if p == nil || p.Usage == (tightbeamv1.Usage{}) || c.Clock.Since(p.written) < usageInterval {
		return tightbeamv1.Usage{}, false
	}
	return p.Usage, true
}

func (c *Controller) wrote(name cache.ObjectName, usage *tightbeamv1.Usage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.usage[name]; p != nil {
		p.written = c.Clock.Now()
		add(&p.Usage, &tightbeamv1.Usage{
			InputTokens: -usage.InputTokens, OutputTokens: -usage.OutputTokens,
			CacheReadTokens: -usage.CacheReadTokens, CacheWriteTokens: -usage.CacheWriteTokens,
		})
	}
}
