// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"context"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
)

// inside is a client in the server's process.
func inside(t *testing.T, s *servertest.Server) versioned.Interface {
	t.Helper()
	clients, err := s.Storages.NewClient(s.Client)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// next is the next event of a watch, which must come.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case event, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch has ended")
		}
		return event
	case <-time.After(time.Minute):
		t.Fatal("no event")
	}
	panic("unreachable")
}

func ended(t *testing.T, w watch.Interface) {
	t.Helper()
	for end := time.After(time.Minute); ; {
		select {
		case _, ok := <-w.ResultChan():
			if !ok {
				return
			}
		case <-end:
			t.Fatal("the watch has not ended")
		}
	}
}

func TestAWatchInTheProcessSelectsAsOneOutsideDoes(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	for name, clients := range map[string]versioned.Interface{"inside": inside(t, s), "outside": s.Clients()} {
		queued := metav1.ListOptions{FieldSelector: "status.phase=Queued"}
		all, here := watchTurns(t, clients, "", queued), watchTurns(t, clients, namespace, queued)
		queued.TimeoutSeconds = ptr.To[int64](2)
		elsewhere := watchTurns(t, clients, "elsewhere", queued)
		if _, err := api.Turns(namespace).Create(t.Context(), turn(name, "c", "hello"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, w := range []watch.Interface{all, here} {
			event := next(t, w)
			if got := event.Object.(*tightbeamv1.Turn); event.Type != watch.Added || got.Name != name || got.Status.Phase != tightbeamv1.TurnQueued {
				t.Errorf("%s: %s %s %s", name, event.Type, got.Name, got.Status.Phase)
			}
		}
		pull(t, s).finish("done")
		for _, w := range []watch.Interface{all, here} {
			if event := next(t, w); event.Type != watch.Deleted {
				t.Errorf("%s: a turn that left the selection: %s", name, event.Type)
			}
			w.Stop()
			ended(t, w)
		}
		for event := range elsewhere.ResultChan() {
			t.Errorf("%s: in another namespace: %+v", name, event)
		}
		elsewhere.Stop()
	}
}

func watchTurns(t *testing.T, clients versioned.Interface, namespace string, options metav1.ListOptions) watch.Interface {
	t.Helper()
	events, err := clients.TightbeamV1().Turns(namespace).Watch(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestWhoWatchesInTheProcessMayChangeWhatItIsSent(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	clients := inside(t, s)
	first, second := watchTurns(t, clients, "", metav1.ListOptions{}), watchTurns(t, clients, "", metav1.ListOptions{})
	defer first.Stop()
	defer second.Stop()
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hello"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	spoil := func(w watch.Interface) {
		got := next(t, w).Object.(*tightbeamv1.Turn)
		if *got.Spec.Messages[0].Content[0].Text != "hello" {
			t.Error("what one watcher changes another one sees")
		}
		*got.Spec.Messages[0].Content[0].Text = "spoilt"
	}
	spoil(first)
	spoil(second)
	cached, err := api.Turns(namespace).Get(t.Context(), "t", metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if *cached.Spec.Messages[0].Content[0].Text != "hello" {
		t.Error("what a watcher changes the watch cache has")
	}
}

func TestAWatchInTheProcessEndsWithItsTimeAndWhenNobodyReadsIt(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	clients := inside(t, s)
	short := watchTurns(t, clients, "", metav1.ListOptions{TimeoutSeconds: ptr.To[int64](1)})
	ended(t, short)
	short.Stop()

	unread := watchTurns(t, clients, "", metav1.ListOptions{})
	for _, name := range []string{"a", "b"} {
		if _, err := api.Turns(namespace).Create(t.Context(), turn(name, "c", "hello"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	unread.Stop()
	ended(t, unread)
}

func TestAnInformerInTheProcessSeesWhatThereIsAndWhatComes(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	informer := informers.NewConversationInformer(inside(t, s), metav1.NamespaceAll, 0, cache.Indexers{})
	seen := make(chan string, 10)
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) {
		seen <- obj.(*tightbeamv1.Conversation).Name
	}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { informer.RunWithContext(ctx) })
	for _, name := range []string{"c", "later"} {
		if name == "later" {
			if _, err := api.Conversations(namespace).Create(t.Context(), conversation(name), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case got := <-seen:
			if got != name {
				t.Errorf("it sees %s, not %s", got, name)
			}
		case <-time.After(time.Minute):
			t.Fatalf("it does not see %s", name)
		}
	}
}
