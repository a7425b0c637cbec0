// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package ttl

import (
	"context"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/turns"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func TestTurnExpiry(t *testing.T) {
	ended := ptr.To(metav1.NewMicroTime(t0))
	for _, test := range []struct {
		name       string
		phase      tightbeamv1.TurnPhase
		completion *metav1.MicroTime
		own        *int32
		defaultTTL time.Duration
		deleting   bool
		now        time.Time
		want       verdict
	}{
		{name: "runs", phase: tightbeamv1.TurnRunning, own: ptr.To[int32](0), now: at(99)},
		{name: "waits", phase: tightbeamv1.TurnQueued, own: ptr.To[int32](0), now: at(99)},
		{name: "has not ended yet as far as is known", phase: tightbeamv1.TurnFailed, own: ptr.To[int32](0), now: at(99)},
		{name: "is being deleted", phase: tightbeamv1.TurnFailed, completion: ended, own: ptr.To[int32](0), deleting: true, now: at(99)},
		{name: "has some time left", phase: tightbeamv1.TurnSucceeded, completion: ended, own: ptr.To[int32](10), now: at(3), want: verdict{after: 7 * time.Second}},
		{name: "is over to the second", phase: tightbeamv1.TurnSucceeded, completion: ended, own: ptr.To[int32](10), now: at(10), want: verdict{expired: true}},
		{name: "goes at once", phase: tightbeamv1.TurnCancelled, completion: ended, own: ptr.To[int32](0), now: at(0), want: verdict{expired: true}},
		{name: "says nothing, so the server does", phase: tightbeamv1.TurnSucceeded, completion: ended, defaultTTL: time.Minute, now: at(0), want: verdict{after: time.Minute}},
		{name: "wins over the server", phase: tightbeamv1.TurnSucceeded, completion: ended, own: ptr.To[int32](90), defaultTTL: time.Minute, now: at(60), want: verdict{after: 30 * time.Second}},
		{name: "is kept where nobody says anything", phase: tightbeamv1.TurnSucceeded, completion: ended, now: at(1e9)},
		{name: "is younger than now, by clocks apart", phase: tightbeamv1.TurnSucceeded, completion: ended, own: ptr.To[int32](10), now: at(-5), want: verdict{after: 15 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			turn := &tightbeamv1.Turn{
				Spec:   tightbeamv1.TurnSpec{TTLSecondsAfterFinished: test.own},
				Status: tightbeamv1.TurnStatus{Phase: test.phase, CompletionTime: test.completion},
			}
			if test.deleting {
				turn.DeletionTimestamp = &metav1.Time{Time: t0}
			}
			if got := turnExpiry(turn, test.defaultTTL, test.now); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestConversationExpiry(t *testing.T) {
	for _, test := range []struct {
		name       string
		own        *int32
		phase      tightbeamv1.ConversationPhase
		lastTurn   int
		unfinished int
		deleting   bool
		now        time.Time
		want       verdict
	}{
		{name: "is kept for ever", now: at(1e9)},
		{name: "has a turn that its status does not know of yet", own: ptr.To[int32](0), unfinished: 1, now: at(99)},
		{name: "is active", own: ptr.To[int32](0), phase: tightbeamv1.ConversationActive, now: at(99)},
		{name: "is being deleted", own: ptr.To[int32](0), deleting: true, now: at(99)},
		{name: "never had a turn", own: ptr.To[int32](10), now: at(4), want: verdict{after: 6 * time.Second}},
		{name: "counts from its last turn", own: ptr.To[int32](10), lastTurn: 20, now: at(25), want: verdict{after: 5 * time.Second}},
		{name: "is over", own: ptr.To[int32](10), lastTurn: 20, now: at(30), want: verdict{expired: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conversation := &tightbeamv1.Conversation{
				ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Time{Time: t0}},
				Spec:       tightbeamv1.ConversationSpec{TTLSecondsAfterLastTurn: test.own},
				Status:     tightbeamv1.ConversationStatus{Phase: test.phase},
			}
			if test.lastTurn > 0 {
				conversation.Status.LastTurnTime = &metav1.Time{Time: at(test.lastTurn)}
			}
			if test.deleting {
				conversation.DeletionTimestamp = &metav1.Time{Time: t0}
			}
			if got := conversationExpiry(conversation, test.unfinished, test.now); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

type world struct {
	t       *testing.T
	client  *fake.Clientset
	clock   *clocktesting.FakeClock
	deletes chan clienttesting.DeleteAction
	// refuse, if set, answers the next delete.
	refuse chan error
}

func begin(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	w := &world{
		t: t, client: fake.NewSimpleClientset(objects...), clock: clocktesting.NewFakeClock(t0),
		deletes: make(chan clienttesting.DeleteAction, 100), refuse: make(chan error, 1),
	}
	w.client.PrependReactor("delete", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		w.deletes <- action.(clienttesting.DeleteAction)
		select {
		case err := <-w.refuse:
			return true, nil, err
		default:
			return false, nil, nil
		}
	})
	finished, unfinished := turns.NewFinishedInformer(w.client), turns.NewUnfinishedInformer(w.client)
	conversations := informers.NewConversationInformer(w.client, metav1.NamespaceAll, 0, cache.Indexers{})
	ofTurns, err := NewTurns(w.client, finished, time.Minute, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	ofConversations, err := NewConversations(w.client, conversations, unfinished, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{finished, unfinished, conversations} {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	for _, controller := range []*Controller{ofTurns, ofConversations} {
		running.Go(func() {
			if err := controller.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

func (w *world) expectDelete(name string) clienttesting.DeleteAction {
	w.t.Helper()
	select {
	case action := <-w.deletes:
		if action.GetName() != name {
			w.t.Fatalf("deleted %s, want %s", action.GetName(), name)
		}
		return action
	case <-time.After(10 * time.Second):
		w.t.Fatalf("%s is not deleted", name)
		panic("unreachable")
	}
}

func (w *world) passes(d time.Duration) {
	w.t.Helper()
	const heartbeats = 2 // of the queues, which always wait for the clock
	for deadline := time.Now().Add(10 * time.Second); w.clock.Waiters() <= heartbeats; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("nobody waits for the clock")
		}
	}
	w.clock.Step(d)
}

func finishedTurn(name string, ttl int32) *tightbeamv1.Turn {
	return &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name), ResourceVersion: "7"},
		Spec:       tightbeamv1.TurnSpec{Conversation: "c", TTLSecondsAfterFinished: &ttl},
		Status:     tightbeamv1.TurnStatus{Phase: tightbeamv1.TurnSucceeded, CompletionTime: ptr.To(metav1.NewMicroTime(t0))},
	}
}

func TestTurnIsDeletedWhenItsTimeIsOverAndOnlyThatVersion(t *testing.T) {
	t.Parallel()
	w := begin(t, finishedTurn("early", 0), finishedTurn("late", 30))
	preconditions := w.expectDelete("early").GetDeleteOptions().Preconditions
	if preconditions == nil || *preconditions.UID != "uid-of-early" || *preconditions.ResourceVersion != "7" {
		t.Errorf("preconditions are %+v", preconditions)
	}
	w.passes(30 * time.Second)
	w.expectDelete("late")
	if len(w.deletes) != 0 {
		t.Errorf("%d more deletes", len(w.deletes))
	}
}

func TestDeleteThatConflictsIsJudgedAnew(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.refuse <- apierrors.NewConflict(tightbeamv1.Resource("turns"), "turn", nil)
	if _, err := w.client.TightbeamV1().Turns("ns").Create(t.Context(), finishedTurn("turn", 0), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expectDelete("turn")
	w.passes(time.Second) // the loop's own wait after a conflict
	w.expectDelete("turn")
}

func TestConversationIsDeletedAfterItsLastTurn(t *testing.T) {
	t.Parallel()
	running := finishedTurn("turn", 3600)
	running.Status = tightbeamv1.TurnStatus{Phase: tightbeamv1.TurnRunning}
	w := begin(t, running, &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "uid-of-c", CreationTimestamp: metav1.Time{Time: at(-100)}},
		Spec:       tightbeamv1.ConversationSpec{TTLSecondsAfterLastTurn: ptr.To[int32](10)},
	})
	select {
	case action := <-w.deletes:
		t.Fatalf("%s was deleted under a running turn", action.GetName())
	case <-time.After(50 * time.Millisecond):
	}
	if err := w.client.Tracker().Delete(tightbeamv1.SchemeGroupVersion.WithResource("turns"), "ns", "turn"); err != nil {
		t.Fatal(err)
	}
	w.expectDelete("c")
}
