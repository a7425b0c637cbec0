// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conversation keeps the status of conversations and takes away what
// belongs to those that are deleted. It runs beside the store, whose heads and
// logs it reads.
//
// Laws:
//   - The status is a function of the head, the log and the running turn, so
//     it is right again after any crash.
//   - A conversation goes last: its head is closed, its turns are gone and its
//     log is dropped before the finalizer is taken off.
package conversation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

const (
	workers = 4
	// settle is how long a conversation's changes are collected before its
	// status is written: a short turn costs one write, not one for its start
	// and one for its end.
	settle = 250 * time.Millisecond
	// deletePage and deleteWorkers bound the removal of turns.
	deletePage    = 500
	deleteWorkers = 16
)

// Heads are the heads of conversations.
type Heads interface {
	Get(ctx context.Context, conversation types.UID) (*heads.Head, error)
	Close(ctx context.Context, conversation types.UID) (*heads.Head, error)
}

// Log is the message logs of conversations.
type Log interface {
	Last(ctx context.Context, conversation types.UID) (int64, error)
	Drop(ctx context.Context, conversation types.UID) error
}

// Turns tells which turn of a conversation runs; empty: none.
type Turns interface {
	RunningTurn(conversation types.UID) string
}

// Options of a Controller.
type Options struct {
	Client versioned.Interface
	// WriteStatus writes the status of a conversation of this version; a
	// Conflict if there is a newer one. Every turn is followed by a status.
	WriteStatus func(ctx context.Context, conversation *tightbeamv1.Conversation) error
	// Conversations and Models are informers that the caller runs.
	Conversations, Models cache.SharedIndexInformer
	Heads                 Heads
	Log                   Log
	Turns                 Turns
	Clock                 clock.WithTicker
}

// Controller keeps the status of conversations.
type Controller struct {
	Options
	loop *loop.Loop
}

// byModel indexes conversations by the model that they name.
const byModel = "model"

// New makes the loop.
func New(o Options) (*Controller, error) {
	c := &Controller{Options: o}
	c.loop = loop.New("conversation", workers, o.Clock, c.sync)
	if err := o.Conversations.AddIndexers(cache.Indexers{byModel: func(obj any) ([]string, error) {
		conversation := obj.(*tightbeamv1.Conversation)
		return []string{conversation.Namespace + "/" + conversation.Spec.Model}, nil
	}}); err != nil {
		return nil, err
	}
	if _, err := o.Conversations.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { c.enqueue(obj) },
		UpdateFunc: func(old, obj any) {
			// Our own status writes come back here, too: a status that was
			// computed against an older one is looked at again.
			before, after := old.(*tightbeamv1.Conversation), obj.(*tightbeamv1.Conversation)
			if before.Generation != after.Generation || before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
				!equality.Semantic.DeepEqual(before.Status, after.Status) {
				c.enqueue(obj)
			}
		},
	}); err != nil {
		return nil, err
	}
	// Whether a conversation is ready depends on whether its model is there.
	named := func(obj any) {
		if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tombstone.Obj
		}
		model, ok := obj.(*tightbeamv1.TightbeamModel)
		if !ok {
			return
		}
		conversations, err := o.Conversations.GetIndexer().ByIndex(byModel, model.Namespace+"/"+model.Name)
		if err != nil {
			panic(err) // the index is added above
		}
		for _, conversation := range conversations {
			c.enqueue(conversation)
		}
	}
	_, err := o.Models.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: named, DeleteFunc: named})
	return c, err
}

func (c *Controller) enqueue(obj any) {
	if name, err := cache.ObjectToName(obj); err == nil {
		c.loop.Enqueue(name)
	}
}

// Changed asks for the status of a conversation to be written soon.
func (c *Controller) Changed(namespace, name string) {
	c.loop.EnqueueAfter(cache.NewObjectName(namespace, name), settle)
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return c.loop.Run(ctx, c.Conversations.HasSynced, c.Models.HasSynced)
}

func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := c.Conversations.GetIndexer().GetByKey(name.String())
	if err != nil || !exists {
		return 0, err
	}
	conversation := obj.(*tightbeamv1.Conversation)
	if conversation.DeletionTimestamp != nil {
		return c.remove(ctx, conversation)
	}
	head, err := c.Heads.Get(ctx, conversation.UID)
	if err != nil {
		return 0, err
	}
	last, err := c.Log.Last(ctx, conversation.UID)
	if err != nil {
		return 0, err
	}
	_, modelExists, err := c.Models.GetIndexer().GetByKey(cache.NewObjectName(conversation.Namespace, conversation.Spec.Model).String())
	if err != nil {
		return 0, err
	}
	updated := conversation.DeepCopy()
	updated.Status = status(conversation, head, last, c.Turns.RunningTurn(conversation.UID), modelExists)
	if equality.Semantic.DeepEqual(updated.Status, conversation.Status) {
		return 0, nil
	}
	return 0, ignoreNotFound(c.WriteStatus(ctx, updated))
}

// status is what the status of a conversation should be.
func status(conversation *tightbeamv1.Conversation, head *heads.Head, messages int64, running string, modelExists bool) tightbeamv1.ConversationStatus {
	out := *conversation.Status.DeepCopy()
	out.ObservedGeneration = conversation.Generation
	out.Phase = tightbeamv1.ConversationIdle
	if len(head.Queue) > 0 {
		out.Phase = tightbeamv1.ConversationActive
	}
	out.ActiveTurn = running
	out.Turns, out.Messages = head.Positions, messages
	out.LastTurnTime = head.LastTurnTime.DeepCopy()
	if head.Usage != (tightbeamv1.Usage{}) {
		usage := head.Usage
		out.Usage = &usage
	}
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "ModelFound", ObservedGeneration: conversation.Generation,
		Message: fmt.Sprintf("turns run on the model %q", conversation.Spec.Model)}
	if !modelExists {
		ready.Status, ready.Reason = metav1.ConditionFalse, "ModelNotFound"
		ready.Message = fmt.Sprintf("there is no TightbeamModel %q in this namespace: make it or change spec.model", conversation.Spec.Model)
	}
	meta.SetStatusCondition(&out.Conditions, ready)
	return out
}

// remove takes away what belongs to a deleted conversation.
func (c *Controller) remove(ctx context.Context, conversation *tightbeamv1.Conversation) (time.Duration, error) {
	i := slices.Index(conversation.Finalizers, tightbeamv1.CascadeFinalizer)
	if i < 0 {
		return 0, nil
	}
	if _, err := c.Heads.Close(ctx, conversation.UID); err != nil {
		return 0, err
	}
	if err := c.deleteTurns(ctx, conversation); err != nil {
		return 0, err
	}
	// A turn that was just deleted may still be writing down what it said.
	head, err := c.Heads.Get(ctx, conversation.UID)
	if err != nil {
		return 0, err
	}
	if len(head.Queue) > 0 {
		return 50 * time.Millisecond, nil
	}
	if err := c.Log.Drop(ctx, conversation.UID); err != nil {
		return 0, err
	}
	updated := conversation.DeepCopy()
	updated.Finalizers = slices.Delete(updated.Finalizers, i, i+1)
	_, err = c.Client.TightbeamV1().Conversations(conversation.Namespace).Update(ctx, updated, metav1.UpdateOptions{})
	return 0, ignoreNotFound(err)
}

func (c *Controller) deleteTurns(ctx context.Context, conversation *tightbeamv1.Conversation) error {
	turns := c.Client.TightbeamV1().Turns(conversation.Namespace)
	options := metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.conversation", conversation.Name).String(),
		Limit:         deletePage,
	}
	for {
		list, err := turns.List(ctx, options)
		if err != nil {
			return err
		}
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(deleteWorkers)
		for i := range list.Items {
			turn := &list.Items[i]
			if turn.Status.ConversationUID != string(conversation.UID) {
				continue
			}
			group.Go(func() error {
				return ignoreNotFound(turns.Delete(groupCtx, turn.Name, *metav1.NewPreconditionDeleteOptions(string(turn.UID))))
			})
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("deleting the turns of conversation %s/%s: %w", conversation.Namespace, conversation.Name, err)
		}
		if list.Continue == "" {
			return nil
		}
		options.Continue = list.Continue
	}
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
