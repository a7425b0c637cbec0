// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	"safebeam.dev/safebeam/pkg/storage/heads"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// failure is why an attempt, or the turn without one, failed.
type failure struct {
	// number of the event, where it came as a job's chunk; else 0.
	number     int64
	class      tightbeamv1.ErrorClass
	message    string
	requestID  string
	retryAfter time.Duration
	// published: its AttemptFailed event is durable already, from before a
	// crash.
	published bool
	// unlessConnected: the failure is moot if the job is back.
	unlessConnected bool
}

// outcome is the terminal status of a turn.
type outcome struct {
	phase  tightbeamv1.TurnPhase
	reason string // of the condition
	text   string // of the condition
	number int64  // of the event where it came as a job's chunk, else 0

	attemptError  *tightbeamv1.TurnError
	err           *tightbeamv1.TurnError
	stopReason    tightbeamv1.StopReason
	rawStopReason string
	message       *tightbeamv1.Message
	usage         *tightbeamv1.Usage // of the running attempt
}

// complete ends the turn with the job's answer.
func (t *turn) complete(ctx context.Context, number int32, event int64, c *pb.TurnComplete) error {
	calls, err := toolCallsFromProto(c.GetToolCalls())
	if err != nil {
		return t.fail(ctx, number, failure{number: event, class: tightbeamv1.ErrorInternal, message: err.Error(), requestID: c.GetRequestId()})
	}
	t.op.lock()
	defer t.op.unlock()
	t.mu.Lock()
	if err := t.notRunning(); err != nil || t.attempt.number != number {
		t.mu.Unlock()
		return cmp.Or(err, ErrFenced)
	}
	object := t.object
	t.mu.Unlock()
	usage := usageFromProto(c.GetUsage())
	return t.end(ctx, outcome{
		phase: tightbeamv1.TurnSucceeded, reason: reasonSucceeded, number: event,
		stopReason: stopReasonFromProto(c.GetStopReason()), rawStopReason: c.GetRawStopReason(),
		message: &tightbeamv1.Message{
			Role: tightbeamv1.RoleAssistant, Content: contentFromProto(c.GetContent()), ToolCalls: calls, Agent: object.Spec.Agent,
		},
		usage: usage,
	})
}

// fail ends an attempt with a failure, and the turn too unless another attempt
// follows.
func (t *turn) fail(ctx context.Context, number int32, f failure) error {
	b := t.broker
	t.op.lock()
	defer t.op.unlock()
	t.mu.Lock()
	if err := t.notRunning(); err != nil || t.attempt.number != number || (f.unlessConnected && t.attempt.stream != nil) {
		t.mu.Unlock()
		return cmp.Or(err, ErrFenced)
	}
	object, a := t.object, t.attempt
	t.mu.Unlock()

	turnError := &tightbeamv1.TurnError{Class: f.class, Message: f.message, RequestID: f.requestID}
	attempts := append([]tightbeamv1.TurnAttempt(nil), object.Status.Attempts...)
	attempts[len(attempts)-1].Error = turnError
	primary := b.existingFallbacks(ctx, t.namespace, b.modelOrNil(ctx, t.namespace, attempts[0].Model))
	follows := afterFailure(f.class, f.retryAfter, a.visible, attempts, b.modelOrNil(ctx, t.namespace, a.model), primary)
	if wait := follows.delay; follows.model != "" && b.clock.Now().Add(wait).After(t.deadlineTime()) {
		// Another model may answer in time.
		if follows = fallback(a.model, attempts, primary); follows.model == "" {
			turnError.Message += fmt.Sprintf(" (the next attempt, in %s, would be past deadlineSeconds)", wait)
		}
	}
	if follows.model == "" {
		class := f.class
		if class == tightbeamv1.ErrorJobLost && a.visible {
			// To the reader it is an answer that broke off.
			turnError = &tightbeamv1.TurnError{Class: tightbeamv1.ErrorTruncated, Message: f.message, RequestID: f.requestID}
		}
		return t.end(ctx, outcome{
			phase: tightbeamv1.TurnFailed, reason: string(turnError.Class), text: turnError.Message,
			number: f.number, attemptError: &tightbeamv1.TurnError{Class: class, Message: f.message, RequestID: f.requestID}, err: turnError,
		})
	}
	return t.again(ctx, f, turnError, follows)
}

// again puts the turn back into the queue of a model. The caller holds op.
func (t *turn) again(ctx context.Context, f failure, turnError *tightbeamv1.TurnError, follows next) error {
	b := t.broker
	object, a, _ := t.freeze()
	now := t.now()
	var notBefore *metav1.MicroTime
	if follows.delay > 0 {
		notBefore = ptr.To(metav1.NewMicroTime(now.Add(follows.delay)))
	}
	var updated *tightbeamv1.Turn
	var failed []Event
	err := b.insist(b.ctx, "requeueing turn "+t.String(), func(ctx context.Context) (err error) {
		if !f.published && failed == nil {
			number, resumed, err := t.endNumber(ctx, f.number)
			if err != nil {
				return err
			}
			failed = append(resumed, encodeEvent(&tightbeamv1.TurnEvent{
				Number: number, Time: now, Type: tightbeamv1.TurnEventAttemptFailed, Attempt: a.number, Error: turnError, WillRetry: ptr.To(true),
			}))
		}
		// Readers are told once it is decided for good: after a crash before
		// that, something else may get the event's number.
		if err := t.stagePending(ctx, failed...); err != nil {
			return err
		}
		updated, err = b.update(ctx, object, func(s *tightbeamv1.TurnStatus) {
			s.Phase, s.Model, s.NotBefore = tightbeamv1.TurnQueued, follows.model, notBefore
			s.Attempts = slices.Clone(object.Status.Attempts)
			endAttempt(s, a, now, turnError, a.usage)
		})
		return err
	})
	if statuses.Gone(err) {
		b.task(func(ctx context.Context) { t.vanished(ctx) })
		return nil
	}
	if errors.Is(err, errEnded) {
		b.task(t.expire) // see assign
	}
	if err != nil {
		return err
	}
	t.publishDurable(failed)
	b.mu.Lock()
	t.mu.Lock()
	t.object, t.state = updated, waiting
	t.attempt.end()
	t.attempt.stream = nil
	stopTimer(t.lease)
	t.mu.Unlock()
	b.dispatch(t.conversation)
	b.mu.Unlock()
	b.countRunning(t.namespace, a.model, -1)
	b.Observer.AttemptEnded(t.namespace, lastAttempt(updated))
	return nil
}

// expire ends the turn at its deadline.
func (t *turn) expire(ctx context.Context) {
	t.op.lock()
	defer t.op.unlock()
	if t.over() {
		return
	}
	message := t.broker.whyLate(ctx, t.current())
	turnError := &tightbeamv1.TurnError{Class: tightbeamv1.ErrorDeadlineExceeded, Message: message}
	if err := t.end(ctx, outcome{
		phase: tightbeamv1.TurnFailed, reason: string(turnError.Class), text: message, attemptError: turnError, err: turnError,
	}); err != nil {
		t.broker.logger.Error(err, "cannot end a turn at its deadline", "turn", t.String())
	}
}

// whyLate says what kept a turn from ending in time: most of all the reason
// that its model's jobs do not run.
func (b *Broker) whyLate(ctx context.Context, object *tightbeamv1.Turn) string {
	late := fmt.Sprintf("deadlineSeconds (%d) ran out", ptr.Deref(object.Spec.DeadlineSeconds, 600))
	if object.Status.Phase == tightbeamv1.TurnRunning {
		return late + " while the model was answering"
	}
	model := b.modelOrNil(ctx, object.Namespace, object.Status.Model)
	if model == nil {
		return fmt.Sprintf("%s: model %q does not exist", late, object.Status.Model)
	}
	if c := meta.FindStatusCondition(model.Status.Conditions, "Ready"); c != nil && c.Status == metav1.ConditionFalse {
		return fmt.Sprintf("%s: model %q is not ready: %s: %s", late, model.Name, c.Reason, c.Message)
	}
	if n := len(object.Status.Attempts); n > 0 && object.Status.Attempts[n-1].Error != nil {
		e := object.Status.Attempts[n-1].Error
		return fmt.Sprintf("%s; the last attempt failed: %s: %s", late, e.Class, e.Message)
	}
	return late + " while the turn was waiting for its conversation or for a job"
}

// existingFallbacks returns the model with those of its fallbacks that exist.
func (b *Broker) existingFallbacks(ctx context.Context, namespace string, model *tightbeamv1.TightbeamModel) *tightbeamv1.TightbeamModel {
	if model == nil || len(model.Spec.Fallbacks) == 0 {
		return model
	}
	model = model.DeepCopy()
	model.Spec.Fallbacks = slices.DeleteFunc(model.Spec.Fallbacks, func(f tightbeamv1.ModelFallback) bool {
		_, err := b.Model(context.WithoutCancel(ctx), namespace, f.Name)
		return apierrors.IsNotFound(err)
	})
	return model
}

func (b *Broker) modelOrNil(ctx context.Context, namespace, name string) *tightbeamv1.TightbeamModel {
	model, err := b.Model(context.WithoutCancel(ctx), namespace, name)
	if err != nil {
		return nil
	}
	return model
}

// Cancel ends a turn on somebody's wish, and returns it as it then is. A turn
// that has ended stays as it is.
func (b *Broker) Cancel(ctx context.Context, object *tightbeamv1.Turn, why string) (*tightbeamv1.Turn, error) {
	t, ended, err := b.locate(ctx, object)
	if err != nil || t == nil {
		return ended, err
	}
	if err := b.seeThrough(ctx, func(ctx context.Context) error { return t.stop(ctx, reasonCancelled, why) }); err != nil {
		return nil, err
	}
	current := t.current()
	if !current.Status.Phase.Terminal() {
		return nil, apierrors.NewNotFound(tightbeamv1.Resource("turns"), object.Name) // deleted meanwhile
	}
	return current, nil
}

func (t *turn) stop(ctx context.Context, reason, why string) error {
	t.op.lock()
	defer t.op.unlock()
	if t.over() {
		return nil
	}
	return t.end(ctx, outcome{
		phase: tightbeamv1.TurnCancelled, reason: reason, text: why,
	})
}

// end writes the terminal status, the turn's commit point, and publishes it.
// The caller holds op. What follows from it goes on by itself.
func (t *turn) end(ctx context.Context, o outcome) error {
	b := t.broker
	object, a, was := t.freeze()
	now := t.now()
	var updated *tightbeamv1.Turn
	var resumed []Event
	write := func(ctx context.Context) error {
		number, ahead, err := t.endNumber(ctx, o.number)
		if err != nil {
			return err
		}
		if resumed == nil {
			resumed = ahead // the same event, however often it is written
		}
		if err := t.stagePending(ctx, resumed...); err != nil {
			return err
		}
		updated, err = b.update(ctx, object, func(s *tightbeamv1.TurnStatus) {
			// Without one that a write of an assignment brought there which failed.
			s.Attempts = slices.Clone(object.Status.Attempts)
			if was == running {
				usage := o.usage
				if usage == nil {
					usage = a.usage
				}
				endAttempt(s, a, now, o.attemptError, usage)
			}
			finish(s, o, number, now)
			if s.Timings == nil {
				s.Timings = &tightbeamv1.TurnTimings{}
			}
			s.Timings.TotalMilliseconds = t.sinceAccepted(now)
			if a.firstToken != nil && was == running {
				s.Timings.FirstTokenMilliseconds = t.sinceAccepted(*a.firstToken)
			}
		})
		return err
	}
	err := b.insist(b.ctx, "ending turn "+t.String(), write)
	if tooLarge(err) && o.message != nil {
		o = o.withoutAnswer()
		err = b.insist(b.ctx, "ending turn "+t.String(), write)
	}
	if statuses.Gone(err) {
		b.task(func(ctx context.Context) { t.vanished(ctx) })
		return nil
	}
	if errors.Is(err, errEnded) {
		// Somebody else's write; take it as it is.
		resumed = nil
		err = b.insist(b.ctx, "reading ended turn "+t.String(), func(ctx context.Context) (err error) {
			updated, err = b.store.Get(ctx, t.namespace, t.name)
			return err
		})
		if err == nil && (updated == nil || updated.UID != t.uid) {
			b.task(func(ctx context.Context) { t.vanished(ctx) })
			return nil
		}
	}
	if err != nil {
		return err
	}
	t.leave(updated, was, a)
	t.publishDurable(resumed)
	t.hub.End(terminalEvent(updated))
	b.Observer.TurnEnded(updated)
	if last := lastAttempt(updated); was == running && last != nil {
		b.Observer.AttemptEnded(t.namespace, last)
	}
	partial := a.blocks.content()
	b.task(func(ctx context.Context) { t.followUp(ctx, updated, partial) })
	return nil
}

// endNumber is the number of an event that ends an attempt, as serverNumber has
// it, or that of the job's chunk, where it came as one.
func (t *turn) endNumber(ctx context.Context, chunk int64) (number int64, resumed []Event, err error) {
	if chunk == 0 {
		return t.serverNumber(ctx)
	}
	return chunk, nil, t.numbers.UpTo(ctx, chunk)
}

// giveUp fails a turn that cannot go on.
func (t *turn) giveUp(ctx context.Context, message string) {
	t.op.lock()
	defer t.op.unlock()
	if t.over() {
		return
	}
	turnError := &tightbeamv1.TurnError{Class: tightbeamv1.ErrorInternal, Message: message}
	_ = t.end(ctx, outcome{phase: tightbeamv1.TurnFailed, reason: string(turnError.Class), text: message, attemptError: turnError, err: turnError})
}

// withoutAnswer is the outcome of an answer that the store does not take.
func (o outcome) withoutAnswer() outcome {
	turnError := &tightbeamv1.TurnError{Class: tightbeamv1.ErrorInternal, Message: "the answer is too large to be stored; ask for a shorter one, or set maxTokens"}
	return outcome{
		phase: tightbeamv1.TurnFailed, reason: string(turnError.Class), text: turnError.Message, number: o.number,
		attemptError: turnError, err: turnError, usage: o.usage,
	}
}

// leave takes the turn out of whatever it waits in or runs on.
func (t *turn) leave(object *tightbeamv1.Turn, was state, a attempt) {
	b := t.broker
	b.mu.Lock()
	t.mu.Lock()
	model := t.object.Status.Model
	t.object, t.state = object, ended
	stopTimer(t.deadline)
	stopTimer(t.lease)
	stopTimer(t.retry)
	if was == running {
		t.attempt.end()
		t.attempt.stream = nil
	}
	t.mu.Unlock()
	if was == ready {
		b.withdraw(t, model)
	}
	b.mu.Unlock()
	if was == running {
		b.countRunning(t.namespace, a.model, -1)
	} else if was == ready {
		b.Observer.ModelChanged(t.namespace, model)
	}
}

// lastAttempt is nil for a turn that never ran, or whose status somebody else wrote.
func lastAttempt(object *tightbeamv1.Turn) *tightbeamv1.TurnAttempt {
	if n := len(object.Status.Attempts); n > 0 {
		return &object.Status.Attempts[n-1]
	}
	return nil
}

func endAttempt(s *tightbeamv1.TurnStatus, a attempt, now metav1.MicroTime, err *tightbeamv1.TurnError, usage *tightbeamv1.Usage) {
	if len(s.Attempts) == 0 {
		return
	}
	last := &s.Attempts[len(s.Attempts)-1]
	last.FirstTokenTime, last.EndTime, last.Error, last.Usage = a.firstToken, &now, err, usage
	// Summed anew, so that a write that is repeated counts nothing twice.
	s.Usage = nil
	for i := range s.Attempts {
		if u := s.Attempts[i].Usage; u != nil {
			if s.Usage == nil {
				s.Usage = &tightbeamv1.Usage{}
			}
			s.Usage.InputTokens += u.InputTokens
			s.Usage.OutputTokens += u.OutputTokens
			s.Usage.CacheReadTokens += u.CacheReadTokens
			s.Usage.CacheWriteTokens += u.CacheWriteTokens
		}
	}
}

func finish(s *tightbeamv1.TurnStatus, o outcome, number int64, now metav1.MicroTime) {
	s.Phase, s.NotBefore, s.LastEvent, s.CompletionTime = o.phase, nil, number, &now
	s.StopReason, s.ProviderStopReason, s.Message, s.Error = o.stopReason, o.rawStopReason, o.message, o.err
	condition := conditionFailed
	if o.phase == tightbeamv1.TurnSucceeded {
		condition = conditionComplete
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: o.reason, Message: o.text,
		LastTransitionTime: metav1.NewTime(now.Time),
	})
}

// followUp does what follows from a terminal status: the answer enters the
// log, then the head lets the next turn go. It is done again after a crash,
// until the head no longer has the turn's claim.
func (t *turn) followUp(ctx context.Context, object *tightbeamv1.Turn, partial []tightbeamv1.ContentBlock) {
	b := t.broker
	err := b.insist(ctx, "following up on turn "+t.String(), func(ctx context.Context) error {
		err := b.appendAnswer(ctx, t, object, partial)
		if tooLarge(err) && len(partial) > 0 {
			err = b.appendAnswer(ctx, t, object, nil)
		}
		if err != nil && !tooLarge(err) {
			return err
		}
		// An answer that fits the object and not the log: the conversation
		// goes on without, and says so.
		if err != nil {
			b.logger.Error(err, "an answer does not enter its conversation's log", "turn", t.String())
		}
		_, err = b.Heads.Release(ctx, t.conversation.uid, t.uid, &heads.Outcome{
			Time: metav1.NewTime(ptr.Deref(object.Status.CompletionTime, t.now()).Time), Usage: object.Status.Usage,
		})
		return err
	})
	if err != nil && !statuses.Gone(err) {
		return // stopping; recovery follows up
	}
	b.released(t.conversation, t.uid)
}

// appendAnswer stages what the turn adds to the logs of its conversation,
// ordered before the release of its claim.
func (b *Broker) appendAnswer(ctx context.Context, t *turn, object *tightbeamv1.Turn, partial []tightbeamv1.ContentBlock) error {
	if _, err := b.log.Stage(ctx, t.conversation.uid, object, entries(object, partial)); err != nil {
		return err
	}
	if object.Spec.Agent != tightbeamv1.RouterAgent || object.Status.Phase != tightbeamv1.TurnSucceeded || object.Status.Message == nil {
		return nil
	}
	entry := logEntry(object.Status.Message, ptr.Deref(object.Status.CompletionTime, t.now()))
	entry.SystemSHA256 = object.Status.SystemSHA256
	if last := lastAttempt(object); last != nil {
		entry.Model = last.Model
	}
	_, err := b.log.StageRouter(ctx, t.conversation.uid, object, entry)
	return err
}

// vanished cleans up after a turn whose object was deleted: its claim goes,
// its events go, what it put into the log stays.
func (t *turn) vanished(ctx context.Context) {
	b := t.broker
	t.op.lock()
	defer t.op.unlock()
	object, a, was := t.freeze()
	var result *heads.Outcome
	if was != ended {
		t.leave(object, was, a)
		deleted := object.DeepCopy()
		if was == running {
			endAttempt(&deleted.Status, a, t.now(), nil, a.usage)
		}
		number, resumed, err := t.serverNumber(ctx)
		if err != nil {
			number = t.hub.Last() + 1
		}
		t.publishDurable(resumed)
		finish(&deleted.Status, outcome{phase: tightbeamv1.TurnCancelled, reason: reasonCancelled, text: "the turn was deleted"}, number, t.now())
		t.hub.End(terminalEvent(deleted))
		if said := entries(deleted, a.blocks.content()); len(said) > 0 {
			if _, err := b.log.Stage(ctx, t.conversation.uid, deleted, said); err != nil {
				b.logger.Error(err, "cannot keep the messages of a deleted turn", "turn", t.String())
			}
		}
		result = &heads.Outcome{Time: metav1.NewTime(b.clock.Now()), Usage: deleted.Status.Usage}
	}
	err := b.insist(ctx, "removing deleted turn "+t.String(), func(ctx context.Context) error {
		if err := b.journal.Drop(ctx, turnRoot(t.uid)); err != nil {
			return err
		}
		if result == nil {
			return nil // ended before: what follows from its end releases it
		}
		_, err := b.Heads.Release(ctx, t.conversation.uid, t.uid, result)
		return err
	})
	if result != nil && (err == nil || statuses.Gone(err)) {
		b.released(t.conversation, t.uid)
	}
}
