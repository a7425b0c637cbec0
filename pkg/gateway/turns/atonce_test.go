// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/messages"
	"safebeam.dev/safebeam/pkg/storage/heads"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// waitingJob is a job's call that waits for a turn.
type waitingJob struct {
	assignment chan *pb.TurnAssignment
	failed     chan error
	leave      context.CancelFunc
}

// park has a job wait, and returns once it does.
func (w *world) park(model string) *waitingJob {
	w.t.Helper()
	ctx, leave := context.WithTimeout(context.Background(), patience)
	p := &waitingJob{assignment: make(chan *pb.TurnAssignment, 1), failed: make(chan error, 1), leave: leave}
	w.t.Cleanup(leave)
	before := w.parked(model)
	go func() {
		assignment, err := w.GetTurn(ctx, testNamespace, model, "parked")
		if err != nil {
			p.failed <- err
			return
		}
		p.assignment <- assignment
	}()
	w.eventually("the job waits", func() bool { return w.parked(model) > before })
	return p
}

func (w *world) parked(model string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.models[modelKey{testNamespace, model}]; q != nil {
		return q.waiters.Len()
	}
	return 0
}

func TestATurnThatAJobWaitsForIsRunningFromItsCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	waiting := w.park("echo")
	revision := w.db.Revision()
	created := w.mustCreate(turnNamed("c", "one"))
	status := created.Status
	if status.Phase != tightbeamv1.TurnRunning || len(status.Attempts) != 1 || status.Attempts[0].Job != "parked" ||
		status.Attempts[0].Model != "echo" || status.StartTime == nil || status.Timings == nil || status.Position != 1 {
		t.Errorf("created as %+v", status)
	}
	if writes := w.db.Revision() - revision; writes != 2 {
		t.Errorf("it took %d writes, want the claim's and the turn's", writes)
	}
	assignment := <-waiting.assignment
	if assignment.GetTurn() != "one" || assignment.GetAttempt() != 1 || len(assignment.GetMessages()) != 1 {
		t.Errorf("assigned %v", assignment)
	}
	j := w.connectJob(assignment)
	j.say("a", "b")
	j.complete("ab")
	w.finished("one")
	if got := eventTypes(w.events(created, 0)); !slices.Equal(got, []tightbeamv1.TurnEventType{
		tightbeamv1.TurnEventStarted, tightbeamv1.TurnEventBlockDelta, tightbeamv1.TurnEventBlockDelta, tightbeamv1.TurnEventCompleted,
	}) {
		t.Errorf("events %v", got)
	}
	if got := w.texts("c"); !slices.Equal(got, []string{"user: one", "assistant: ab"}) {
		t.Errorf("log %q", got)
	}
}

// notedReads and notedClaims say when a log is read and when a head is changed.
type notedReads struct {
	journal.Journal
	note func(string)
}

func (j notedReads) Read(ctx context.Context, owner journal.Owner, after int64, limit int) ([]journal.Record, error) {
	j.note("log read")
	return j.Journal.Read(ctx, owner, after, limit)
}

type notedClaims struct {
	storage.Interface
	note func(string)
}

func (h notedClaims) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object,
) error {
	h.note("claimed")
	return h.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, tryUpdate, cached)
}

// Reading the log waits for what is staged: after the claim, which is to be durable
// with the turn, it would wait for a sync of its own.
func TestTheLogOfATurnThatAJobWaitsForIsReadBeforeItsClaim(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		parked bool
		want   []string
	}{
		{true, []string{"log read", "claimed", "created"}},
		{false, []string{"claimed", "created"}},
	} {
		w := newWorld(t)
		var mu sync.Mutex
		var got []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, what)
		}
		w.Broker.log = messages.New(notedReads{w.journal, note}, 1<<20)
		w.Heads = heads.NewStore(notedClaims{w.rawHeads, note})
		if c.parked {
			w.park("echo")
		}
		w.onCreate(func(create func() error) error {
			note("created")
			return create()
		})
		w.mustCreate(turnNamed("c", "one"))
		mu.Lock()
		if !slices.Equal(got, c.want) {
			t.Errorf("with a job that waits %t: %q, want %q", c.parked, got, c.want)
		}
		mu.Unlock()
	}
}

func TestTheNextTurnSeesTheAnswerOfTheOneBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	for i, name := range []string{"one", "two", "three"} {
		waiting := w.park("echo")
		w.mustCreate(turnNamed("c", name))
		assignment := <-waiting.assignment
		if got := len(assignment.GetMessages()); got != 2*i+1 {
			t.Errorf("%s is assigned with %d messages", name, got)
		}
		w.connectJob(assignment).complete("ok")
		w.finished(name)
	}
}

func TestAJobWaitsOnIfTheTurnWasNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	waiting := w.park("echo")
	w.onCreate(func(func() error) error { return errors.New("no quorum") })
	if _, err := w.create(turnNamed("c", "one")); err == nil {
		t.Fatal("no error")
	}
	w.onCreate(func(create func() error) error { return create() })
	w.eventually("the claim is given up", func() bool { return len(w.head("c").Queue) == 0 })
	w.mustCreate(turnNamed("c", "two"))
	assignment := <-waiting.assignment
	if assignment.GetTurn() != "two" {
		t.Errorf("assigned %v", assignment)
	}
	w.connectJob(assignment).complete("ok")
	w.finished("two")
}

func TestAJobThatIsAbandonedTakesWhatIsQueuedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.conversation("d", nil)
	waiting := w.park("echo")
	w.onCreate(func(func() error) error {
		w.onCreate(func(create func() error) error { return create() })
		w.mustCreate(turnNamed("d", "two"))
		return errors.New("no quorum")
	})
	if _, err := w.create(turnNamed("c", "one")); err == nil {
		t.Fatal("no error")
	}
	assignment := <-waiting.assignment
	if assignment.GetTurn() != "two" {
		t.Errorf("assigned %v", assignment)
	}
	w.connectJob(assignment).complete("ok")
	w.finished("two")
}

func TestATurnWhoseCreateGotLostAsItBeganIsGivenToAnotherJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	waiting := w.park("echo")
	w.model("echo", func(s *tightbeamv1.TightbeamModelSpec) {
		s.Retry = &tightbeamv1.ModelRetry{BackoffSeconds: new(int32)}
	})
	w.onCreate(func(create func() error) error { return errors.Join(create(), errors.New("the answer got lost")) })
	if _, err := w.create(turnNamed("c", "one")); err == nil {
		t.Fatal("no error")
	}
	assignment := <-waiting.assignment
	if assignment.GetAttempt() != 2 {
		t.Errorf("the attempt that nobody heard of is assigned: %v", assignment)
	}
	w.connectJob(assignment).complete("ok")
	turn := w.finished("one")
	if e := turn.Status.Attempts[0].Error; e == nil || e.Class != tightbeamv1.ErrorJobLost {
		t.Errorf("the first attempt: %+v", turn.Status.Attempts[0])
	}
}

func TestATurnWhoseJobLeavesAsItBeginsIsGivenToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	waiting := w.park("echo")
	w.onCreate(func(create func() error) error {
		waiting.leave()
		<-waiting.failed
		return create()
	})
	created := w.mustCreate(turnNamed("c", "one"))
	if created.Status.Phase != tightbeamv1.TurnRunning {
		t.Errorf("created as %s", created.Status.Phase)
	}
	j := w.pull("echo")
	if j.assignment.GetAttempt() != 2 {
		t.Errorf("assigned %v", j.assignment)
	}
	j.complete("ok")
	w.finished("one")
}

func TestATurnBehindAnotherIsQueuedThoughAJobWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	first := w.park("echo")
	w.mustCreate(turnNamed("c", "one"))
	second := w.park("echo")
	if created := w.mustCreate(turnNamed("c", "two")); created.Status.Phase != tightbeamv1.TurnQueued {
		t.Errorf("created as %s", created.Status.Phase)
	}
	w.connectJob(<-first.assignment).complete("ok")
	assignment := <-second.assignment
	if assignment.GetTurn() != "two" || len(assignment.GetMessages()) != 3 {
		t.Errorf("assigned %v", assignment)
	}
	w.connectJob(assignment).complete("ok")
	w.finished("two")
}

func TestAWaitingJobIsSentAwayWhileItIsPicked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	waiting := w.park("echo")
	if w.pick(modelKey{testNamespace, "echo"}) == nil {
		t.Fatal("no job waits")
	}
	w.stop()
	select {
	case err := <-waiting.failed:
		if !errors.Is(err, ErrStopped) {
			t.Errorf("told %v", err)
		}
	case <-time.After(patience):
		t.Error("it waits on")
	}
}
