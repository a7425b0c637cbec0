// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestALostJobIsReplacedBeforeVisibleOutput(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	w := newWorld(t, func(o *Options) { o.Clock = clock })
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	if _, err := j.send(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ThinkingDelta{ThinkingDelta: &pb.ThinkingDelta{Text: "hm"}}}); err != nil {
		t.Fatal(err)
	}
	j.Close()
	clock.Step(30 * time.Second)
	again := w.pull("echo")
	if again.assignment.GetAttempt() != 2 {
		t.Fatalf("attempt %d", again.assignment.GetAttempt())
	}
	if _, err := w.Open(context.Background(), testNamespace, "echo", turn.UID, 1); !errors.Is(err, ErrFenced) {
		t.Errorf("the lost attempt is taken back: %v", err)
	}
	if _, err := j.Receive(context.Background(), textChunk("late")); !errors.Is(err, ErrFenced) {
		t.Errorf("a fenced attempt writes: %v", err)
	}
	again.complete("answer")
	w.finished("one")
	want := []tightbeamv1.TurnEventType{"Started", "BlockDelta", "AttemptFailed", "Started", "Completed"}
	events := w.events(turn, 0)
	if diff := cmp.Diff(want, eventTypes(events)); diff != "" {
		t.Error(diff)
	}
	for i, event := range events {
		if event.Number != int64(i+1) {
			t.Errorf("event %d has the number %d", i+1, event.Number)
		}
	}
	if diff := cmp.Diff([]string{"user: one", "assistant: answer"}, w.texts("c")); diff != "" {
		t.Errorf("the messages entered the log more than once: %s", diff)
	}
}

func TestALostJobAfterVisibleOutputIsATruncatedAnswer(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	w := newWorld(t, func(o *Options) { o.Clock = clock })
	w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.say("half")
	j.Close()
	clock.Step(30 * time.Second)
	done := w.finished("one")
	if done.Status.Phase != tightbeamv1.TurnFailed || done.Status.Error.Class != tightbeamv1.ErrorTruncated {
		t.Errorf("finished as %+v, %+v", done.Status.Phase, done.Status.Error)
	}
	if diff := cmp.Diff([]string{"user: one", "partial assistant: half"}, w.texts("c")); diff != "" {
		t.Error(diff)
	}
}

func TestAJobThatComesBackInTimeGoesOn(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	w := newWorld(t, func(o *Options) { o.Clock, o.FlushBytes = clock, 1 })
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.say("a", "b")
	j.durable()
	j.Close()
	clock.Step(29 * time.Second)
	back := w.connectJob(j.assignment)
	if back.Received() != 2 {
		t.Errorf("told to go on after %d", back.Received())
	}
	clock.Step(time.Hour / 60)
	back.sequence = 1
	back.say("b") // sent again
	back.say("c")
	back.complete("abc")
	w.finished("one")
	text := ""
	for i, event := range w.events(turn, 0) {
		text += event.Text
		if event.Number != int64(i+1) {
			t.Errorf("event %d has the number %d", i+1, event.Number)
		}
	}
	if text != "abc" {
		t.Errorf("read %q", text)
	}
}

func TestASecondStreamFencesTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.mustCreate(turnNamed("c", "one"))
	first := w.pull("echo")
	first.say("a")
	second := w.connectJob(first.assignment)
	if _, err := first.send(textChunk("b")); !errors.Is(err, ErrFenced) {
		t.Errorf("the old stream writes: %v", err)
	}
	first.Close() // must not start the clock of the second
	second.sequence = 1
	second.complete("a")
	w.finished("one")
}

func TestAChunkAfterAGapIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.sequence = 4
	var bad *ChunkError
	if _, err := j.send(textChunk("x")); !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
	if _, err := j.Receive(context.Background(), &pb.TurnResultChunk{Sequence: 1}); !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
}

func TestFailuresAreRetriedWithBackoffThenFallBack(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	w := newWorld(t, func(o *Options) { o.Clock = clock })
	w.model("second", nil)
	w.model("echo", func(s *tightbeamv1.TightbeamModelSpec) {
		s.Retry = &tightbeamv1.ModelRetry{MaxAttempts: ptr.To[int32](2), BackoffSeconds: ptr.To[int32](3)}
		s.Fallbacks = []tightbeamv1.ModelFallback{{Name: "gone"}, {Name: "second"}}
	})
	turn := w.mustCreate(turnNamed("c", "one"))
	w.pull("echo").failWith(pb.ErrorClass_ERROR_CLASS_OVERLOADED, 0)
	w.eventually("it waits", func() bool { return w.stored("one").Status.NotBefore != nil })
	if wait := w.stored("one").Status.NotBefore.Sub(clock.Now()); wait != 3*time.Second {
		t.Errorf("waits %s", wait)
	}
	clock.Step(3 * time.Second)
	w.pull("echo").failWith(pb.ErrorClass_ERROR_CLASS_OVERLOADED, 0)
	w.pull("second").complete("from the second")
	done := w.finished("one")
	var models []string
	for _, a := range done.Status.Attempts {
		models = append(models, a.Model)
	}
	if diff := cmp.Diff([]string{"echo", "echo", "second"}, models); diff != "" {
		t.Error(diff)
	}
	want := []tightbeamv1.TurnEventType{"Started", "AttemptFailed", "Started", "AttemptFailed", "Started", "Completed"}
	if diff := cmp.Diff(want, eventTypes(w.events(turn, 0))); diff != "" {
		t.Error(diff)
	}
}

func TestARetryPastTheDeadlineFallsBackOrSaysSo(t *testing.T) {
	t.Parallel()
	for _, fallback := range []bool{true, false} {
		w := newWorld(t, fast)
		w.model("second", nil)
		w.model("echo", func(s *tightbeamv1.TightbeamModelSpec) {
			if fallback {
				s.Fallbacks = []tightbeamv1.ModelFallback{{Name: "second"}}
			}
		})
		w.mustCreate(turnNamed("c", "one"))
		w.pull("echo").failWith(pb.ErrorClass_ERROR_CLASS_RATE_LIMITED, time.Hour)
		if fallback {
			w.pull("second").complete("ok")
			w.finished("one")
			continue
		}
		if done := w.finished("one"); done.Status.Phase != tightbeamv1.TurnFailed || !strings.Contains(done.Status.Error.Message, "past deadlineSeconds") {
			t.Errorf("finished as %+v", done.Status.Error)
		}
	}
}

// small is a store that takes no answers.
type small struct{ storage.Interface }

func (s small) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	return s.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, func(input runtime.Object, res storage.ResponseMeta) (runtime.Object, *uint64, error) {
		obj, ttl, err := update(input, res)
		if err == nil && obj.(*tightbeamv1.Turn).Status.Message != nil {
			err = fmt.Errorf("etcd: %w", rpctypes.ErrRequestTooLarge)
		}
		return obj, ttl, err
	}, cached)
}

func TestAnAnswerThatIsTooLargeFailsTheTurn(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", maxAnswerBytes/2)
	for name, send := range map[string]func(j *job){
		"in one chunk": func(j *job) { _, _ = j.send(textChunk(half + half + "x")) },
		"in sum":       func(j *job) { j.say(half); _, _ = j.send(textChunk(half + "x")) },
		"at its end":   func(j *job) { _, _ = j.send(completeChunk(half + half)) },
		"as JSON":      func(j *job) { _, _ = j.send(textChunk(strings.Repeat("\x01", maxAnswerBytes/2))) },
		"for the store": func(j *job) {
			j.w.store.Storage = small{j.w.raw}
			j.say("half")
			_, _ = j.send(completeChunk("half and half"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fast)
			w.model("echo", func(s *tightbeamv1.TightbeamModelSpec) {
				s.Retry = &tightbeamv1.ModelRetry{MaxAttempts: ptr.To[int32](1)}
			})
			w.mustCreate(turnNamed("c", "one"))
			send(w.pull("echo"))
			done := w.finished("one")
			if done.Status.Phase != tightbeamv1.TurnFailed || !strings.Contains(done.Status.Error.Message, "too large") {
				t.Errorf("finished as %s: %.300v", done.Status.Phase, done.Status.Error)
			}
		})
	}
}

func TestATurnThatLeavesNoRoomForItsStatusIsA413(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast, func(o *Options) { o.MaxObjectBytes = 3 << 19 })
	limit := w.MaxObjectBytes
	big := turnNamed("c", "one")
	big.Spec.Messages = []tightbeamv1.Message{say(tightbeamv1.RoleUser, strings.Repeat("x", limit))}
	if _, err := w.create(big); !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("got %.200v", err)
	}
	most := turnNamed("c", "two")
	most.Spec.Messages = []tightbeamv1.Message{say(tightbeamv1.RoleUser, strings.Repeat("x", limit-statusBytes-2048))}
	w.mustCreate(most)
	w.pull("echo").complete("ok")
	w.finished("two")
}

func TestAJobWithoutMetadataIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.conversation("d", nil)
	ctx := context.Background()
	if _, err := w.OpenOnly(ctx, testNamespace, "echo", ""); !errors.Is(err, ErrFenced) {
		t.Errorf("nothing runs: %v", err)
	}
	w.mustCreate(turnNamed("c", "one"))
	w.mustCreate(turnNamed("d", "two"))
	w.pullOnly("echo")
	stream, err := w.OpenOnly(ctx, testNamespace, "echo", "job-echo")
	if err != nil {
		t.Fatal(err)
	}
	// The seed numbers nothing.
	for range 3 {
		if _, err := stream.Receive(ctx, textChunk("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Receive(ctx, completeChunk("xxx")); err != nil {
		t.Fatal(err)
	}
	if done := w.finished("one"); done.Status.LastEvent != 5 {
		t.Errorf("last event %d", done.Status.LastEvent)
	}
	w.mustCreate(turnNamed("c", "three"))
	w.pullOnly("echo")
	w.pullOnly("echo")
	if _, err := w.OpenOnly(ctx, testNamespace, "echo", ""); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("two run: %v", err)
	}
}

func TestConnectedJobsCountThoseThatStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	if counts := w.ModelCounts(testNamespace, "echo"); counts != (ModelCounts{Jobs: 1, Running: 1}) {
		t.Errorf("counts %+v", counts)
	}
	j.complete("ok")
	j.Close()
	if counts := w.ModelCounts(testNamespace, "echo"); counts != (ModelCounts{}) {
		t.Errorf("counts %+v", counts)
	}
}
