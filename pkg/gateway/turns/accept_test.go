// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// scripted is a storage whose Create does what a test says.
type scripted struct {
	storage.Interface
	create func(create func() error) error
}

func (s scripted) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	return s.create(func() error { return s.Interface.Create(ctx, key, obj, out, ttl) })
}

func (w *world) onCreate(create func(create func() error) error) {
	w.turns = &turnStorage{Interface: scripted{w.raw, create}, broker: w.Broker}
}

func TestAClaimIsGivenUpWhoseTurnIsNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.onCreate(func(func() error) error { return errors.New("no quorum") })
	if _, err := w.create(turnNamed("c", "one")); err == nil {
		t.Fatal("no error")
	}
	w.onCreate(func(create func() error) error { return create() })
	w.mustCreate(turnNamed("c", "two"))
	w.pull("echo").complete("ok")
	w.finished("two")
	w.eventually("the claim is given up", func() bool { return len(w.head("c").Queue) == 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conversations) != 0 {
		t.Error("the mirror of the head stays")
	}
}

func TestATurnRunsThatIsStoredThoughItsCreateFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.onCreate(func(create func() error) error { return errors.Join(create(), errors.New("the answer got lost")) })
	if _, err := w.create(turnNamed("c", "one")); err == nil {
		t.Fatal("no error")
	}
	w.pull("echo").complete("ok")
	w.finished("one")
}

func TestAWriteThatMayStillBeOnItsWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	w := newWorld(t, func(o *Options) { o.Clock = clock })
	w.onCreate(func(func() error) error { return context.DeadlineExceeded })
	turn := turnNamed("c", "one")
	if _, err := w.create(turn); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	stored := turn.DeepCopy()
	stored.CreationTimestamp = metav1.NewTime(clock.Now())
	stored.Status.Phase, stored.Status.ConversationUID, stored.Status.Model = tightbeamv1.TurnQueued, "uid-c", "echo"
	if err := w.raw.Create(context.Background(), "/turns/"+testNamespace+"/one", stored, &tightbeamv1.Turn{}, 0); err != nil {
		t.Fatal(err)
	}
	if len(w.head("c").Queue) != 1 {
		t.Fatal("the claim was given up at once")
	}
	w.eventually("somebody waits", clock.HasWaiters)
	clock.Step(createTimeout)
	w.pull("echo").complete("ok")
	w.finished("one")
}

func TestATurnThatIsDeletedWhileItIsAcceptedHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.onCreate(func(create func() error) error {
		if err := create(); err != nil {
			return err
		}
		return w.delete("one") // a watcher is as fast as that
	})
	if _, err := w.create(turnNamed("c", "one")); err != nil {
		t.Fatal(err)
	}
	w.onCreate(func(create func() error) error { return create() })
	w.mustCreate(turnNamed("c", "two"))
	j := w.pull("echo")
	if j.assignment.GetTurn() != "two" {
		t.Fatalf("%s is assigned", j.assignment.GetTurn())
	}
	j.complete("ok")
	w.finished("two")
}

func TestATurnThatIsReadOrCancelledWhileItIsAcceptedIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	cancelled := make(chan error, 1)
	w.onCreate(func(create func() error) error {
		if err := create(); err != nil {
			return err
		}
		stored := w.stored("one")
		go func() {
			got, err := w.Cancel(context.Background(), stored, "at once")
			if err == nil && got.Status.Phase != tightbeamv1.TurnCancelled {
				err = errors.New("it is " + string(got.Status.Phase))
			}
			cancelled <- err
		}()
		time.Sleep(5 * time.Millisecond)
		return nil
	})
	w.mustCreate(turnNamed("c", "one"))
	if err := <-cancelled; err != nil {
		t.Errorf("cancel: %v", err)
	}
	w.finished("one")
}

func TestAnAssignmentThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	fail := true
	w := newWorld(t, func(o *Options) {
		o.Clock = clock
		model := o.Model
		o.Model = func(ctx context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error) {
			if fail {
				return nil, errors.New("not now")
			}
			return model(ctx, namespace, name)
		}
	})
	w.mustCreate(turnNamed("c", "one"))
	if _, err := w.GetTurn(context.Background(), testNamespace, "echo", "job"); err == nil {
		t.Fatal("assigned without its model")
	}
	fail = false
	clock.Step(time.Second)
	w.pull("echo").complete("ok")
	w.finished("one")
}
