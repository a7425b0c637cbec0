// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/controller/turns"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	fieldManager = "safebeam-controller"
	// Launching waits for a process or a POST, so models do not wait in one
	// line.
	workers = 4
	// maxWritten bounds the writes that are remembered at a time. One that is
	// forgotten too early is made again, to the same effect.
	maxWritten = 10_000
)

// Launcher runs jobs. Its methods do not wait for jobs, only for the launch
// itself; what becomes of them is seen in List, and Notify says when to look.
type Launcher interface {
	// Revision names the state of what a job is made of besides its spec, as
	// far as the launcher may know it: the version of the Secret, say. When it
	// changes, what failed before is tried again at once. A *launcher.Refusal
	// says that no job of this spec can be launched.
	Revision(spec launcher.JobSpec) (string, error)
	Launch(ctx context.Context, job launcher.Job) error
	// List gives the jobs of a model, and the exited ones not yet forgotten.
	List(model cache.ObjectName) []launcher.Job
	// Models are those that List has jobs of.
	Models() []cache.ObjectName
	// Stop asks a job to finish its turns and leave. It may be repeated.
	Stop(ctx context.Context, name string) error
	// Forget drops an exited job from List.
	Forget(ctx context.Context, name string) error
	// Enclose has the network of a model's running jobs be closed as it was when
	// they were launched, whatever somebody did to it since. The uid is that of the
	// model, empty where it is being deleted or gone.
	Enclose(ctx context.Context, model cache.ObjectName, uid types.UID) error
	// Notify has changed called for every model whose jobs, or the revision of
	// whose spec, changed. It is called once, before Run.
	Notify(changed func(model cache.ObjectName))
}

// Options are what the controller works on.
type Options struct {
	Client versioned.Interface
	// Models and Unfinished are run by the caller.
	Models     cache.SharedIndexInformer
	Unfinished cache.SharedIndexInformer
	Launcher   Launcher
	Clock      clock.WithTicker
	// IdleTimeout is that of models which name none.
	IdleTimeout time.Duration
}

// Controller is the loop of LLM jobs.
type Controller struct {
	client versioned.Interface
	models cache.SharedIndexInformer
	// written has our own writes until the informer has caught up with them,
	// so that none is made twice.
	written     cache.MutationCache
	unfinished  cache.SharedIndexInformer
	launcher    Launcher
	clock       clock.WithTicker
	idleTimeout time.Duration
	loop        *loop.Loop

	mu sync.Mutex
	// histories by model. An entry leaves with its model.
	histories map[cache.ObjectName]history
}

// New makes the loop and subscribes it to the informers.
func New(o Options) (*Controller, error) {
	c := &Controller{
		client:      o.Client,
		models:      o.Models,
		written:     cache.NewIntegerResourceVersionMutationCacheWithOptions(klog.Background(), o.Models.GetStore(), cache.MutationCacheOptions{MaxCacheSize: maxWritten}),
		unfinished:  o.Unfinished,
		launcher:    o.Launcher,
		clock:       o.Clock,
		idleTimeout: o.IdleTimeout,
		histories:   map[cache.ObjectName]history{},
	}
	c.loop = loop.New("llmjob", workers, o.Clock, c.sync)
	if _, err := o.Models.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueueModel,
		UpdateFunc: func(_, obj any) { c.enqueueModel(obj) },
		DeleteFunc: c.enqueueModel,
	}); err != nil {
		return nil, err
	}
	if _, err := o.Unfinished.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { c.enqueueTurn(obj.(*tightbeamv1.Turn)) },
		UpdateFunc: func(old, obj any) {
			c.enqueueTurn(old.(*tightbeamv1.Turn))
			c.enqueueTurn(obj.(*tightbeamv1.Turn))
		},
		DeleteFunc: c.turnLeft,
	}); err != nil {
		return nil, err
	}
	o.Launcher.Notify(c.loop.Enqueue)
	return c, nil
}

// Run works until ctx ends. Jobs are left running: they are the launcher's.
func (c *Controller) Run(ctx context.Context) error {
	// Jobs whose model went away while no controller looked.
	for _, model := range c.launcher.Models() {
		c.loop.Enqueue(model)
	}
	return c.loop.Run(ctx, c.models.HasSynced, c.unfinished.HasSynced)
}

func (c *Controller) enqueueModel(obj any) {
	name, err := cache.DeletionHandlingObjectToName(obj)
	if err != nil {
		panic(fmt.Sprintf("informer on models delivered %T: %v", obj, err))
	}
	c.loop.Enqueue(name)
}

func (c *Controller) enqueueTurn(turn *tightbeamv1.Turn) {
	if turn.Status.Model != "" {
		c.loop.Enqueue(turns.Model(turn))
	}
}

// turnLeft makes room: the turn behind it in the conversation may wait for
// another model.
func (c *Controller) turnLeft(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	turn, ok := obj.(*tightbeamv1.Turn)
	if !ok {
		return
	}
	c.enqueueTurn(turn)
	for _, other := range c.conversationOf(turn) {
		c.enqueueTurn(other)
	}
}

func (c *Controller) conversationOf(turn *tightbeamv1.Turn) []*tightbeamv1.Turn {
	found, err := turns.Indexed(c.unfinished.GetIndexer(), turns.ByConversation, turns.Conversation(turn))
	if err != nil {
		panic(err) // the index is missing: a mistake in this program
	}
	return found
}

func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.written.GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	if !exists {
		c.setHistory(name, nil)
		return 0, errors.Join(c.stopAll(ctx, name), c.launcher.Enclose(ctx, name, ""))
	}
	model := obj.(*tightbeamv1.TightbeamModel)
	if model.DeletionTimestamp != nil {
		return 0, errors.Join(c.stopAll(ctx, name), c.launcher.Enclose(ctx, name, ""))
	}

	waiting, err := turns.Indexed(c.unfinished.GetIndexer(), turns.ByModel, name)
	if err != nil {
		return 0, err
	}
	spec := c.jobSpec(model)
	revision, refusal, err := c.revision(spec)
	if err != nil {
		return 0, err
	}
	now := c.clock.Now()
	s := state{
		model:   model,
		hash:    spec.Hash(),
		refused: refusal != nil,
		demand:  measure(waiting, c.conversationOf, now),
		jobs:    c.launcher.List(name),
		now:     now,
	}
	s.history = c.history(name).observe(cause{s.hash, revision}, s.jobs, s.demand.holders, now)
	c.setHistory(name, &s.history)

	p := makePlan(s)
	h, err := c.apply(ctx, spec, s, p)
	c.setHistory(name, &h)
	switch {
	case h.failures > s.history.failures:
		p.wakeAt(now, h.notBefore())
	case h.failures > 0 && p.launch+p.launchWarm > 0:
		p.wakeAt(now, now.Add(provenAfter))
	}
	// The condition comes last: a cold turn waits for the launch, nobody for
	// the condition.
	condition := ready(model.Generation, refusal, h, s.jobs, s.demand.holders, now)
	err = errors.Join(err, c.launcher.Enclose(ctx, name, model.UID), c.writeCondition(ctx, model, condition))
	if p.again.IsZero() {
		return 0, err
	}
	return p.again.Sub(now), err
}

// revision asks the launcher whether it would launch the spec.
func (c *Controller) revision(spec launcher.JobSpec) (string, *launcher.Refusal, error) {
	revision, err := c.launcher.Revision(spec)
	var refusal *launcher.Refusal
	switch {
	case errors.As(err, &refusal):
		return "", refusal, nil
	case err != nil:
		return "", nil, fmt.Errorf("model %s/%s: %w", spec.Namespace, spec.Model, err)
	}
	return revision, nil, nil
}

// apply carries out the plan, launches first. A launch that fails is not an
// error of the sync but a failure of the model, which has its own backoff.
func (c *Controller) apply(ctx context.Context, spec launcher.JobSpec, s state, p plan) (history, error) {
	logger := klog.FromContext(ctx)
	h := s.history
	for i := range p.launchWarm + p.launch {
		job := launcher.Job{
			Name: launcher.NewJobName(spec.Model),
			Spec: spec,
			Warm: i < p.launchWarm,
		}
		if err := c.launcher.Launch(ctx, job); err != nil {
			if ctx.Err() != nil {
				return h, ctx.Err()
			}
			exit := launcher.Exit{Time: c.clock.Now(), Reason: launcher.ReasonJobFailed, Message: err.Error()}
			var refusal *launcher.Refusal
			if errors.As(err, &refusal) {
				exit.Reason = refusal.Reason
			}
			countLaunch(job, exit.Reason)
			h = h.failed(exit)
			logger.Error(err, "Could not launch a job", "model", klog.KRef(spec.Namespace, spec.Model), "failures", h.failures)
			break
		}
		countLaunch(job, "")
		logger.V(2).Info("Launched a job", "job", job.Name, "model", klog.KRef(spec.Namespace, spec.Model), "warm", job.Warm,
			"running", s.demand.running, "runnable", s.demand.runnable)
	}
	var errs []error
	for _, name := range p.stop {
		logger.V(2).Info("Stopping a job", "job", name, "model", klog.KRef(spec.Namespace, spec.Model))
		errs = append(errs, c.launcher.Stop(ctx, name))
	}
	for _, name := range p.forget {
		err := c.launcher.Forget(ctx, name)
		if err == nil {
			countExit(s.jobs, name)
		}
		errs = append(errs, err)
	}
	return h, errors.Join(errs...)
}

// stopAll ends the jobs of a model that is gone.
func (c *Controller) stopAll(ctx context.Context, model cache.ObjectName) error {
	var errs []error
	for _, job := range c.launcher.List(model) {
		switch {
		case job.Exit != nil:
			err := c.launcher.Forget(ctx, job.Name)
			if err == nil {
				jobExits.WithLabelValues(job.Exit.Reason).Inc()
			}
			errs = append(errs, err)
		case !job.Stopping:
			errs = append(errs, c.launcher.Stop(ctx, job.Name))
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) jobSpec(model *tightbeamv1.TightbeamModel) launcher.JobSpec {
	_, _, perJob := limits(model.Spec.Jobs)
	idle := c.idleTimeout
	if model.Spec.IdleTimeout != nil {
		idle = time.Duration(*model.Spec.IdleTimeout) * time.Second
	}
	return launcher.JobSpec{
		Namespace:   model.Namespace,
		Model:       model.Name,
		ModelUID:    model.UID,
		SecretName:  model.Spec.SecretName,
		Image:       model.Spec.Image,
		Egress:      model.Spec.Egress,
		IdleTimeout: idle,
		TurnsPerJob: int32(perJob),
	}
}

func (c *Controller) history(model cache.ObjectName) history {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.histories[model]
}

func (c *Controller) setHistory(model cache.ObjectName, h *history) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h == nil {
		delete(c.histories, model)
		return
	}
	c.histories[model] = *h
}
