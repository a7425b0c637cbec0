// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package ttl

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/controller/turns"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// A delete is one short request, and a burst of turns expires as one burst.
const workers = 2

// NewTurns makes the loop that deletes finished turns. The informer is
// turns.NewFinishedInformer's and is run by the caller.
func NewTurns(client versioned.Interface, finished cache.SharedIndexInformer, defaultTTL time.Duration, clk clock.WithTicker) (*Controller, error) {
	c := newController("ttl-turns", clk, finished.HasSynced)
	c.judge = func(name cache.ObjectName, now time.Time) (metav1.Object, verdict, error) {
		obj, exists, err := finished.GetIndexer().GetByKey(name.String())
		if err != nil || !exists {
			return nil, verdict{}, err
		}
		turn := obj.(*tightbeamv1.Turn)
		return turn, turnExpiry(turn, defaultTTL, now), nil
	}
	c.delete = func(ctx context.Context, name cache.ObjectName, options metav1.DeleteOptions) error {
		return client.TightbeamV1().Turns(name.Namespace).Delete(ctx, name.Name, options)
	}
	return c, c.watch(finished)
}

// NewConversations makes the loop that deletes conversations whose last turn
// is long over. Both informers are run by the caller.
func NewConversations(client versioned.Interface, conversations, unfinished cache.SharedIndexInformer, clk clock.WithTicker) (*Controller, error) {
	c := newController("ttl-conversations", clk, conversations.HasSynced, unfinished.HasSynced)
	c.judge = func(name cache.ObjectName, now time.Time) (metav1.Object, verdict, error) {
		obj, exists, err := conversations.GetIndexer().GetByKey(name.String())
		if err != nil || !exists {
			return nil, verdict{}, err
		}
		running, err := unfinished.GetIndexer().IndexKeys(turns.ByConversation, name.String())
		if err != nil {
			return nil, verdict{}, err
		}
		conversation := obj.(*tightbeamv1.Conversation)
		return conversation, conversationExpiry(conversation, len(running), now), nil
	}
	c.delete = func(ctx context.Context, name cache.ObjectName, options metav1.DeleteOptions) error {
		return client.TightbeamV1().Conversations(name.Namespace).Delete(ctx, name.Name, options)
	}
	if err := c.watch(conversations); err != nil {
		return nil, err
	}
	// The two informers are not in step: a turn may be seen to leave after its
	// conversation was judged.
	_, err := unfinished.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tombstone.Obj
		}
		if turn, ok := obj.(*tightbeamv1.Turn); ok {
			c.loop.Enqueue(turns.Conversation(turn))
		}
	}})
	return c, err
}

// Controller deletes the expired objects of one resource.
type Controller struct {
	loop   *loop.Loop
	clock  clock.WithTicker
	synced []cache.InformerSynced
	// judge looks an object up in the informer; nil: it is gone.
	judge  func(name cache.ObjectName, now time.Time) (metav1.Object, verdict, error)
	delete func(ctx context.Context, name cache.ObjectName, options metav1.DeleteOptions) error
}

func newController(name string, clk clock.WithTicker, synced ...cache.InformerSynced) *Controller {
	c := &Controller{clock: clk, synced: synced}
	c.loop = loop.New(name, workers, clk, c.sync)
	return c
}

// watch enqueues what changes. What has gone needs nothing.
func (c *Controller) watch(informer cache.SharedIndexInformer) error {
	enqueue := func(obj any) {
		name, err := cache.ObjectToName(obj)
		if err != nil {
			panic(fmt.Sprintf("informer delivered %T: %v", obj, err))
		}
		c.loop.Enqueue(name)
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
	})
	return err
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx, c.synced...) }

func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, v, err := c.judge(name, c.clock.Now())
	if err != nil || obj == nil || !v.expired {
		return v.after, err
	}
	uid, version := obj.GetUID(), obj.GetResourceVersion()
	err = c.delete(ctx, name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
	})
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("deleting the expired %s: %w", name, err)
	}
	klog.FromContext(ctx).V(2).Info("Deleted, its time was over", "object", name.String())
	return 0, nil
}
