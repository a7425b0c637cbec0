// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

func TestTheStatusIsAFunctionOfHeadLogAndRunningTurn(t *testing.T) {
	t.Parallel()
	conversation := &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Name: "c", Generation: 3}, Spec: tightbeamv1.ConversationSpec{Model: "m"}}
	at := metav1.NewTime(time.Unix(7, 0))
	got := status(conversation, &heads.Head{
		Positions: 9, Queue: []heads.Claim{{}}, LastTurnTime: &at, Usage: tightbeamv1.Usage{InputTokens: 1},
	}, 5, "turn", true)
	if got.Phase != tightbeamv1.ConversationActive || got.Turns != 9 || got.Messages != 5 || got.ActiveTurn != "turn" ||
		!got.LastTurnTime.Equal(&at) || got.Usage.InputTokens != 1 || got.ObservedGeneration != 3 || !meta.IsStatusConditionTrue(got.Conditions, "Ready") {
		t.Errorf("active: %+v", got)
	}
	conversation.Status = got
	got = status(conversation, &heads.Head{Positions: 9}, 5, "", false)
	if got.Phase != tightbeamv1.ConversationIdle || got.ActiveTurn != "" {
		t.Errorf("idle: %+v", got)
	}
	if c := meta.FindStatusCondition(got.Conditions, "Ready"); c.Status != metav1.ConditionFalse || c.Reason != "ModelNotFound" {
		t.Errorf("without its model: %+v", c)
	}
}

// world is what the loop reads, in the hands of the test.
type world struct {
	mu      sync.Mutex
	head    heads.Head
	closed  bool
	dropped bool
}

func (w *world) Get(context.Context, types.UID) (*heads.Head, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head.DeepCopy(), nil
}

func (w *world) Close(context.Context, types.UID) (*heads.Head, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return w.head.DeepCopy(), nil
}

func (w *world) Last(context.Context, types.UID) (int64, error) { return 0, nil }

func (w *world) Drop(context.Context, types.UID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped = true
	return nil
}

func (w *world) RunningTurn(types.UID) string { return "" }

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func start(t *testing.T, w *world, conversation *tightbeamv1.Conversation, turns ...*tightbeamv1.Turn) (*Controller, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(conversation)
	for _, turn := range turns {
		if err := client.Tracker().Add(turn); err != nil {
			t.Fatal(err)
		}
	}
	conversations := informers.NewConversationInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	models := informers.NewTightbeamModelInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	write := func(ctx context.Context, conversation *tightbeamv1.Conversation) error {
		_, err := client.TightbeamV1().Conversations(conversation.Namespace).UpdateStatus(ctx, conversation, metav1.UpdateOptions{})
		return err
	}
	c, err := New(Options{Client: client, WriteStatus: write, Conversations: conversations, Models: models, Heads: w, Log: w, Turns: w, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { conversations.RunWithContext(ctx) })
	running.Go(func() { models.RunWithContext(ctx) })
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return c, client
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAStatusFollowsTheHead(t *testing.T) {
	t.Parallel()
	w := &world{}
	c, client := start(t, w, &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "u"}})
	phase := func() tightbeamv1.ConversationPhase {
		got, err := client.TightbeamV1().Conversations("ns").Get(context.Background(), "c", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Status.Phase
	}
	eventually(t, "it is idle", func() bool { return phase() == tightbeamv1.ConversationIdle })
	w.set(func() { w.head.Queue = []heads.Claim{{UID: "t"}} })
	c.Changed("ns", "c")
	eventually(t, "it is active", func() bool { return phase() == tightbeamv1.ConversationActive })
	// Though the informer may not have seen that status yet.
	w.set(func() { w.head.Queue = nil })
	c.Changed("ns", "c")
	eventually(t, "it is idle again", func() bool { return phase() == tightbeamv1.ConversationIdle })
}

func TestADeletedConversationGoesLast(t *testing.T) {
	t.Parallel()
	now := metav1.Now()
	w := &world{head: heads.Head{Queue: []heads.Claim{{UID: "t"}}}}
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "t", UID: "t"},
		Spec:       tightbeamv1.TurnSpec{Conversation: "c"}, Status: tightbeamv1.TurnStatus{ConversationUID: "u"},
	}
	other := turn.DeepCopy()
	other.Name, other.UID, other.Status.ConversationUID = "of-another", "o", "another-of-the-name"
	_, client := start(t, w, &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "c", UID: "u", DeletionTimestamp: &now, Finalizers: []string{"else", tightbeamv1.CascadeFinalizer},
	}}, turn, other)
	turns := func() int {
		list, err := client.TightbeamV1().Turns("ns").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	eventually(t, "its turn is deleted and the other's stays", func() bool { return turns() == 1 })
	finalizers := func() int {
		got, err := client.TightbeamV1().Conversations("ns").Get(context.Background(), "c", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(got.Finalizers)
	}
	w.set(func() {
		if !w.closed || w.dropped {
			t.Errorf("closed %v, dropped %v while a turn is being written down", w.closed, w.dropped)
		}
	})
	if finalizers() != 2 {
		t.Error("the conversation goes before its turn's claim")
	}
	w.set(func() { w.head.Queue = nil })
	eventually(t, "it goes", func() bool { return finalizers() == 1 })
	w.set(func() {
		if !w.dropped {
			t.Error("its log stays")
		}
	})
}
