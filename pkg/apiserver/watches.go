// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	clientrest "k8s.io/client-go/rest"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	tightbeamclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/tightbeam/v1"
)

// NewClient returns a client of the server for what runs in its process. Its
// watches of what changes with every turn and every sandbox come from the storages
// themselves: events that are encoded for a connection of the server to itself, and
// parsed again, cost a turn as much as its create. All else are requests.
func (s *Storages) NewClient(config *clientrest.Config) (versioned.Interface, error) {
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return watching{client, s}, nil
}

type watching struct {
	versioned.Interface
	storages *Storages
}

func (c watching) TightbeamV1() tightbeamclient.TightbeamV1Interface {
	return watchingTightbeam{c.Interface.TightbeamV1(), c.storages}
}

type watchingTightbeam struct {
	tightbeamclient.TightbeamV1Interface
	storages *Storages
}

func (c watchingTightbeam) TightbeamModels(namespace string) tightbeamclient.TightbeamModelInterface {
	return watchingModels{c.TightbeamV1Interface.TightbeamModels(namespace), watches{c.storages.Models, namespace}}
}

func (c watchingTightbeam) Conversations(namespace string) tightbeamclient.ConversationInterface {
	return watchingConversations{c.TightbeamV1Interface.Conversations(namespace), watches{c.storages.Conversations, namespace}}
}

func (c watchingTightbeam) Turns(namespace string) tightbeamclient.TurnInterface {
	return watchingTurns{c.TightbeamV1Interface.Turns(namespace), watches{c.storages.Turns.Turn, namespace}}
}

type watchingModels struct {
	tightbeamclient.TightbeamModelInterface
	watches watches
}

func (c watchingModels) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}

type watchingConversations struct {
	tightbeamclient.ConversationInterface
	watches watches
}

func (c watchingConversations) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}

type watchingTurns struct {
	tightbeamclient.TurnInterface
	watches watches
}

func (c watchingTurns) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}

// watches are those of a resource in a namespace, or in all.
type watches struct {
	storage   rest.Watcher
	namespace string
}

func (w watches) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	internal := &internalversion.ListOptions{}
	if err := internalversion.Convert_v1_ListOptions_To_internalversion_ListOptions(&options, internal, nil); err != nil {
		return nil, err
	}
	ctx = request.WithNamespace(ctx, w.namespace)
	var cancel context.CancelFunc
	if seconds := options.TimeoutSeconds; seconds != nil && *seconds > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*seconds)*time.Second)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	events, err := w.storage.Watch(ctx, internal)
	if err != nil {
		cancel()
		return nil, err
	}
	own := &ownWatch{Interface: events, cancel: cancel, result: make(chan watch.Event)}
	go own.run(ctx)
	return own, nil
}

// ownWatch is a watch whose objects are the watcher's own, to change as it
// likes.
type ownWatch struct {
	watch.Interface
	cancel context.CancelFunc
	result chan watch.Event
}

// run ends when the watch below does, which Stop and the end of ctx see to.
func (w *ownWatch) run(ctx context.Context) {
	defer close(w.result)
	for event := range w.Interface.ResultChan() {
		// What several watchers are sent is one object for all of them, which
		// keeps its encodings; everything else is a copy already.
		if shared, ok := event.Object.(runtime.CacheableObject); ok {
			event.Object = shared.GetObject()
		}
		select {
		case w.result <- event:
		case <-ctx.Done():
		}
	}
}

func (w *ownWatch) ResultChan() <-chan watch.Event { return w.result }

func (w *ownWatch) Stop() {
	w.cancel()
	w.Interface.Stop()
}
