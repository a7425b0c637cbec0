// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	clientrest "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/conversation"
	"safebeam.dev/safebeam/pkg/controller/modelcounts"
	"safebeam.dev/safebeam/pkg/controller/sweep"
	"safebeam.dev/safebeam/pkg/gateway/turnmetrics"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// loops are the controllers that stand beside the store, since they read what
// no API serves. They write through the API like every other controller, but for
// the statuses of conversations.
type loops struct {
	informers     []cache.SharedIndexInformer
	conversations *conversation.Controller
	counts        *modelcounts.Controller
	sweeper       *sweep.Sweeper
}

// observer tells the loops and the metrics what happens to turns. The broker is
// made before them, and says nothing before it recovers.
type observer struct {
	loops   *loops
	metrics *turnmetrics.Metrics
}

var _ turns.Observer = &observer{}

func (o *observer) TurnEnded(turn *tightbeamv1.Turn) { o.metrics.TurnEnded(turn) }

func (o *observer) AttemptEnded(namespace string, attempt *tightbeamv1.TurnAttempt) {
	o.metrics.AttemptEnded(namespace, attempt)
	o.loops.counts.Used(namespace, attempt.Model, attempt.Usage)
}

func (o *observer) ModelChanged(namespace, model string) { o.loops.counts.Changed(namespace, model) }

func (o *observer) ConversationChanged(namespace, name string) {
	o.loops.conversations.Changed(namespace, name)
}

func newLoops(config *clientrest.Config, s *Storages, heads *heads.Store, journal journal.Journal) (*loops, error) {
	client, err := s.NewClient(config)
	if err != nil {
		return nil, err
	}
	models := informers.NewTightbeamModelInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	conversations := informers.NewConversationInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	l := &loops{
		informers: []cache.SharedIndexInformer{models, conversations},
		sweeper:   sweep.New(sweep.Options{Client: client, Journal: journal, Heads: heads, Clock: clock.RealClock{}}),
	}
	if l.conversations, err = conversation.New(conversation.Options{
		Client: client, WriteStatus: writeStatus(s.conversationStatus), Conversations: conversations, Models: models,
		Heads: heads, Log: s.Messages, Turns: s.Broker, Clock: clock.RealClock{},
	}); err != nil {
		return nil, err
	}
	l.counts, err = modelcounts.New(modelcounts.Options{
		Client: client, Models: models, Clock: clock.RealClock{},
		Counts: func(namespace, model string) modelcounts.Counts {
			return modelcounts.Counts(s.Broker.ModelCounts(namespace, model))
		},
	})
	return l, err
}

// writeStatus writes the statuses of conversations into their storage, as the
// broker does with those of turns: they follow every turn, and as requests of the
// server to itself they took a fourth of its processor time.
func writeStatus(storage rest.Updater) func(context.Context, *tightbeamv1.Conversation) error {
	return func(ctx context.Context, conversation *tightbeamv1.Conversation) error {
		_, _, err := storage.Update(request.WithNamespace(ctx, conversation.Namespace), conversation.Name,
			rest.DefaultUpdatedObjectInfo(conversation), rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
		return err
	}
}

// Run works until ctx ends.
func (l *loops) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, informer := range l.informers {
		group.Go(func() error {
			informer.RunWithContext(ctx)
			return nil
		})
	}
	group.Go(func() error { return l.conversations.Run(ctx) })
	group.Go(func() error { return l.counts.Run(ctx) })
	group.Go(func() error { return l.sweeper.Run(ctx) })
	return group.Wait()
}
