// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage/heads"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestRejectRefusesASecondTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.conversation("c", func(s *tightbeamv1.ConversationSpec) { s.ConcurrencyPolicy = tightbeamv1.ConcurrencyReject })
	w.mustCreate(turnNamed("c", "one"))
	if _, err := w.create(turnNamed("c", "two")); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `turn "one" is not finished`) {
		t.Fatalf("got %v", err)
	}
	w.pull("echo").complete("ok")
	w.finished("one")
	w.mustCreate(turnNamed("c", "two"))
}

func TestAFullQueueIsA429ThatNamesTheRemedy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.conversation("c", func(s *tightbeamv1.ConversationSpec) { s.MaxQueuedTurns = ptr.To[int32](1) })
	w.mustCreate(turnNamed("c", "one"))
	w.mustCreate(turnNamed("c", "two"))
	_, err := w.create(turnNamed("c", "three"))
	if !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), "maxQueuedTurns is 1") {
		t.Fatalf("got %v", err)
	}
	if after, ok := apierrors.SuggestsClientDelay(err); !ok || after <= 0 {
		t.Errorf("no Retry-After: %v", err)
	}
	if w.head("c").Positions != 2 {
		t.Error("a refused turn burnt a position")
	}
}

func TestInterruptAndRollbackCancelWhatIsThere(t *testing.T) {
	t.Parallel()
	for policy, want := range map[tightbeamv1.ConcurrencyPolicy]struct {
		log, sent []string
		reason    string
	}{
		tightbeamv1.ConcurrencyInterrupt: {
			log:    []string{"user: one", "partial assistant: half", "user: three", "assistant: done"},
			sent:   []string{"one", "three"},
			reason: "Interrupted",
		},
		tightbeamv1.ConcurrencyRollback: {
			log:    []string{"user: one", "partial assistant: half", "rollback", "user: three", "assistant: done"},
			sent:   []string{"three"},
			reason: "RolledBack",
		},
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fast)
			w.mustCreate(turnNamed("c", "one"))
			j := w.pull("echo")
			j.say("half")
			w.mustCreate(turnNamed("c", "two")) // waits
			w.conversation("c", func(s *tightbeamv1.ConversationSpec) { s.ConcurrencyPolicy = policy })
			w.mustCreate(turnNamed("c", "three"))
			for _, name := range []string{"one", "two"} {
				turn := w.finished(name)
				if c := endCondition(turn); turn.Status.Phase != tightbeamv1.TurnCancelled || c.Reason != want.reason || !strings.Contains(c.Message, `turn "three" took over`) {
					t.Errorf("%s: %s %+v", name, turn.Status.Phase, c)
				}
			}
			if _, err := j.send(textChunk("more")); err == nil {
				t.Error("an interrupted job goes on writing")
			}
			next := w.pull("echo")
			var sent []string
			for _, m := range next.assignment.GetMessages() {
				sent = append(sent, m.GetContent()[0].GetText().GetText())
			}
			if diff := cmp.Diff(want.sent, sent); diff != "" {
				t.Error(diff)
			}
			next.complete("done")
			w.finished("three")
			if diff := cmp.Diff(want.log, w.texts("c")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// states bring the turn "one" into each state of a turn.
var states = map[string]func(w *world){
	"waiting for the turn before it": func(w *world) {
		w.mustCreate(turnNamed("c", "zero"))
		w.mustCreate(turnNamed("c", "one"))
	},
	"waiting for a job": func(w *world) { w.mustCreate(turnNamed("c", "one")) },
	"assigned": func(w *world) {
		w.mustCreate(turnNamed("c", "one"))
		w.pullOnly("echo")
	},
	"streaming": func(w *world) {
		w.mustCreate(turnNamed("c", "one"))
		w.pull("echo").say("half")
	},
	"its job away": func(w *world) {
		w.mustCreate(turnNamed("c", "one"))
		j := w.pull("echo")
		j.say("half")
		j.Close()
	},
	"waiting for its next attempt": func(w *world) {
		w.mustCreate(turnNamed("c", "one"))
		w.pull("echo").failWith(pb.ErrorClass_ERROR_CLASS_OVERLOADED, time.Minute)
	},
}

func TestATurnIsCancelledInEveryState(t *testing.T) {
	t.Parallel()
	for name, bring := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fast)
			bring(w)
			turn := w.stored("one")
			for range 2 {
				got, err := w.Cancel(context.Background(), turn, "enough")
				if err != nil || got.Status.Phase != tightbeamv1.TurnCancelled {
					t.Fatalf("cancel: %v, %v", got.Status.Phase, err)
				}
			}
			w.finished("one")
			events := w.events(turn, 0)
			if last := events[len(events)-1]; last.Type != tightbeamv1.TurnEventCancelled || last.Reason != "enough" {
				t.Errorf("the last event is %+v", last)
			}
			if counts := w.ModelCounts(testNamespace, "echo"); counts.Running != 0 {
				t.Errorf("counts %+v", counts)
			}
			goesOn(w)
		})
	}
}

func TestATurnIsDeletedInEveryState(t *testing.T) {
	t.Parallel()
	all := map[string]func(w *world){"finished": func(w *world) {
		w.mustCreate(turnNamed("c", "one"))
		w.pull("echo").complete("answer")
	}}
	for name, bring := range states {
		all[name] = bring
	}
	for name, bring := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fast)
			bring(w)
			turn := w.stored("one")
			reader, err := w.Read(context.Background(), turn, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.delete("one"); err != nil {
				t.Fatal(err)
			}
			w.eventually("the turn is gone", func() bool { return w.find(turn.UID) == nil })
			if w.stored("one") != nil {
				t.Error("it is still stored")
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			for err == nil {
				_, err = reader.Next(ctx)
			}
			if ctx.Err() != nil {
				t.Error("a reader waits for a turn that is deleted")
			}
			w.eventually("its events are dropped", func() bool {
				owners, err := w.journal.Owners(ctx, "turns", 10)
				for _, owner := range owners {
					if strings.HasPrefix(string(owner), string(turnRoot(turn.UID))) {
						return false
					}
				}
				return err == nil
			})
			if name == "finished" {
				if diff := cmp.Diff([]string{"user: one", "assistant: answer"}, w.texts("c")); diff != "" {
					t.Error(diff)
				}
			}
			goesOn(w)
		})
	}
}

// goesOn shows that the conversation c and the model echo still work.
func goesOn(w *world) {
	w.t.Helper()
	w.mustCreate(turnNamed("c", "after"))
	for {
		j := w.pull("echo")
		j.complete("fine")
		if j.assignment.GetTurn() == "after" {
			break
		}
	}
	if turn := w.finished("after"); turn.Status.Phase != tightbeamv1.TurnSucceeded {
		w.t.Errorf("the conversation does not go on: %+v", turn.Status)
	}
	if head := w.head("c"); len(head.Queue) != 0 {
		w.t.Errorf("claims are left: %+v", head.Queue)
	}
	if counts := w.ModelCounts(testNamespace, "echo"); counts.Running != 0 || counts.Queued != 0 {
		w.t.Errorf("counts are left: %+v", counts)
	}
}

func TestATurnFailsAtItsDeadlineInEveryState(t *testing.T) {
	t.Parallel()
	for name, bring := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newStepClock()
			w := newWorld(t, func(o *Options) { o.Clock, o.JobGrace = clock, time.Hour })
			bring(w)
			turn := w.stored("one")
			clock.Step(599 * time.Second)
			if phase := w.stored("one").Status.Phase; phase.Terminal() {
				t.Fatalf("%s before its deadline", phase)
			}
			clock.Step(time.Second)
			done := w.finished("one")
			if done.Status.Phase != tightbeamv1.TurnFailed || done.Status.Error.Class != tightbeamv1.ErrorDeadlineExceeded ||
				!strings.Contains(done.Status.Error.Message, "deadlineSeconds (600) ran out") {
				t.Errorf("finished as %+v, error %+v", done.Status.Phase, done.Status.Error)
			}
			events := w.events(turn, 0)
			if last := events[len(events)-1]; last.Type != tightbeamv1.TurnEventFailed {
				t.Errorf("the last event is %+v", last)
			}
		})
	}
}

func TestADeadlineNamesTheModelThatVanished(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	w := newWorld(t, func(o *Options) { o.Clock = clock })
	w.mustCreate(turnNamed("c", "one"))
	w.cluster.mu.Lock()
	delete(w.cluster.models, "echo")
	w.cluster.mu.Unlock()
	if _, err := w.GetTurn(context.Background(), testNamespace, "echo", "job"); err == nil {
		t.Error("a turn of a model that is gone is assigned")
	}
	clock.Step(601 * time.Second)
	if done := w.finished("one"); !strings.Contains(done.Status.Error.Message, `model "echo" does not exist`) {
		t.Errorf("error %+v", done.Status.Error)
	}
}

func TestADryRunClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	c := w.conversation("c", func(s *tightbeamv1.ConversationSpec) { s.ConcurrencyPolicy = tightbeamv1.ConcurrencyReject })
	request := heads.Request{Conversation: c, Turn: turnNamed("c", "one")}
	if err := w.heads.Admits(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if w.head("c").Positions != 0 {
		t.Error("a dry run burnt a position")
	}
	w.mustCreate(turnNamed("c", "two"))
	if err := w.heads.Admits(context.Background(), request); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
}

func TestADeletedConversationTakesNoTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	if _, err := w.heads.Close(context.Background(), "uid-c"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.create(turnNamed("c", "one")); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestATakenNameBurnsNoPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.mustCreate(turnNamed("c", "one"))
	if _, err := w.create(turnNamed("c", "one")); err == nil {
		t.Fatal("created twice")
	}
	if head := w.head("c"); head.Positions != 1 || len(head.Queue) != 1 {
		t.Errorf("head %+v", head)
	}
}
