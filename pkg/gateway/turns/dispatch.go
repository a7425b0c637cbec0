// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// ErrStopped is what a waiting job is told when the server stops.
var ErrStopped = events.ErrStopped

// modelQueue matches turns that may run on a model with the jobs that wait for
// one. Guarded by Broker.mu.
type modelQueue struct {
	ready   list.List // of *turn
	waiters list.List // of *waiter
	running int
	jobs    map[string]int // calls and streams of each connected job
}

func (q *modelQueue) stop() {
	for e := q.waiters.Front(); e != nil; e = e.Next() {
		close(e.Value.(*waiter).handed)
	}
	q.waiters.Init()
}

// waiter is a call of a job that waits for a turn. Guarded by Broker.mu.
type waiter struct {
	job string
	// handed has room for the one turn that the call is given.
	handed  chan handed
	element *list.Element
	// gone: the call has ended.
	gone bool
}

// handed is a turn that the job is to be assigned, or has been.
type handed struct {
	turn       *turn
	assignment *pb.TurnAssignment
}

func (b *Broker) queue(key modelKey) *modelQueue {
	q := b.models[key]
	if q == nil {
		q = &modelQueue{jobs: map[string]int{}}
		b.models[key] = q
	}
	return q
}

func (b *Broker) forgetQueue(key modelKey, q *modelQueue) {
	if q.ready.Len() == 0 && q.waiters.Len() == 0 && q.running == 0 && len(q.jobs) == 0 {
		delete(b.models, key)
	}
}

// dispatch makes the first turn of a conversation ready if it waits. The
// caller holds Broker.mu.
func (b *Broker) dispatch(c *conversation) {
	if len(c.queue) == 0 || c.queue[0].turn == nil {
		return
	}
	t := c.queue[0].turn
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != waiting {
		return
	}
	if until := t.object.Status.NotBefore; until != nil {
		if wait := until.Sub(b.clock.Now()); wait > 0 {
			stopTimer(t.retry)
			t.retry = b.after(wait, func(context.Context) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.dispatch(c)
			})
			return
		}
	}
	t.state = ready
	b.offer(t, false)
}

// offer gives a ready turn to a job that waits, or queues it. The caller holds
// Broker.mu and t.mu.
func (b *Broker) offer(t *turn, first bool) {
	key := modelKey{t.namespace, t.object.Status.Model}
	q := b.queue(key)
	if e := q.waiters.Front(); e != nil {
		q.waiters.Remove(e).(*waiter).handed <- handed{turn: t}
		return
	}
	if first {
		q.ready.PushFront(t)
	} else {
		q.ready.PushBack(t)
	}
	b.Observer.ModelChanged(key.namespace, key.model)
}

// take returns the next turn of a model, waiting until ctx ends.
func (b *Broker) take(ctx context.Context, key modelKey, job string) (handed, error) {
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return handed{}, ErrStopped
	}
	q := b.queue(key)
	if e := q.ready.Front(); e != nil {
		t := q.ready.Remove(e).(*turn)
		b.mu.Unlock()
		return handed{turn: t}, nil
	}
	w := &waiter{job: job, handed: make(chan handed, 1)}
	w.element = q.waiters.PushBack(w)
	b.mu.Unlock()

	select {
	case h, ok := <-w.handed:
		if !ok {
			return handed{}, ErrStopped
		}
		return h, nil
	case <-b.ctx.Done(): // a create that has picked it may be on its way
	case <-ctx.Done():
	}
	b.mu.Lock()
	w.gone = true
	q.waiters.Remove(w.element)
	var h handed
	select {
	case h = <-w.handed: // zero, where it was closed
	default:
		b.forgetQueue(key, q)
	}
	if h.turn != nil && h.assignment == nil {
		h.turn.mu.Lock()
		if h.turn.state == ready {
			b.offer(h.turn, true)
		}
		h.turn.mu.Unlock()
	}
	b.mu.Unlock()
	if h.assignment != nil {
		h.turn.awaitJob(h.assignment.GetAttempt(), 0)
	}
	return handed{}, cmp.Or(ctx.Err(), ErrStopped)
}

// withdraw takes a turn out of the ready queue of its model. The caller holds
// Broker.mu.
func (b *Broker) withdraw(t *turn, model string) {
	key := modelKey{t.namespace, model}
	q := b.models[key]
	if q == nil {
		return
	}
	for e := q.ready.Front(); e != nil; e = e.Next() {
		if e.Value.(*turn) == t {
			q.ready.Remove(e)
			b.forgetQueue(key, q)
			return
		}
	}
}

// GetTurn waits for a turn of the model and assigns it to the job. It fails
// with ErrStopped, with ctx's error when none came in time, or with the
// store's.
func (b *Broker) GetTurn(ctx context.Context, namespace, model, job string) (*pb.TurnAssignment, error) {
	key := modelKey{namespace, model}
	b.connect(key, job, 1)
	defer b.connect(key, job, -1)
	for {
		h, err := b.take(ctx, key, job)
		if err != nil {
			return nil, err
		}
		if h.assignment != nil {
			return h.assignment, nil
		}
		assignment, err := h.turn.assign(ctx, job)
		if err == nil {
			return assignment, nil
		}
		if !errors.Is(err, errEnded) {
			return nil, err
		}
	}
}

// connect counts the calls and streams of a job.
func (b *Broker) connect(key modelKey, job string, by int) {
	b.mu.Lock()
	q := b.queue(key)
	before := len(q.jobs)
	if q.jobs[job] += by; q.jobs[job] <= 0 {
		delete(q.jobs, job)
	}
	changed := len(q.jobs) != before
	b.forgetQueue(key, q)
	b.mu.Unlock()
	if changed {
		b.Observer.ModelChanged(key.namespace, key.model)
	}
}

// ModelCounts are the numbers of a model's status.
type ModelCounts struct{ Jobs, Queued, Running int32 }

// ModelCounts returns the numbers of a model's status as they are now.
func (b *Broker) ModelCounts(namespace, model string) ModelCounts {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.models[modelKey{namespace, model}]
	if q == nil {
		return ModelCounts{}
	}
	return ModelCounts{Jobs: int32(len(q.jobs)), Queued: int32(q.ready.Len()), Running: int32(q.running)}
}

func (b *Broker) countRunning(namespace, model string, by int) {
	key := modelKey{namespace, model}
	b.mu.Lock()
	q := b.queue(key)
	q.running += by
	b.forgetQueue(key, q)
	b.mu.Unlock()
	b.Observer.ModelChanged(namespace, model)
}

// assign makes the turn Running on the job: the write that gives it the lease.
// errEnded: there is nothing left to assign.
func (t *turn) assign(ctx context.Context, job string) (*pb.TurnAssignment, error) {
	b := t.broker
	if err := t.op.lockContext(ctx); err != nil {
		return nil, t.putBack(err)
	}
	defer t.op.unlock()
	t.mu.Lock()
	if t.state != ready {
		t.mu.Unlock()
		return nil, errEnded
	}
	object := t.object
	t.mu.Unlock()

	// Whoever waits may go away, but what is written is written.
	write := b.ctx
	conversation, err := b.Conversation(write, t.namespace, object.Spec.Conversation)
	if err != nil {
		return nil, t.putBack(fmt.Errorf("conversation of turn %s: %w", t, err))
	}
	model, err := b.Model(write, t.namespace, object.Status.Model)
	if err != nil {
		return nil, t.putBack(fmt.Errorf("model of turn %s: %w", t, err))
	}
	log, err := b.log.History(write, t.conversation.uid)
	if err != nil {
		return nil, t.putBack(err)
	}
	number := int32(len(object.Status.Attempts) + 1)
	out := assignment(object, conversation, model, log, number, t.deadlineTime())

	// The reservation goes with the status, so that an assignment waits for
	// the disk once.
	var resumed []Event
	base, _, safe := t.nextNumber()
	if !safe {
		if base, resumed, err = t.serverNumber(write); err != nil {
			return nil, t.putBack(err)
		}
	}
	// Everything numbered below base is ordered before the status, so that
	// recovery finds base again: it is the first number after it.
	if err := t.stagePending(write, resumed...); err != nil {
		return nil, t.putBack(err)
	}
	if err := t.numbers.With(write, base+events.ReserveBlock); err != nil {
		return nil, t.putBack(err)
	}
	begun := t.now()
	updated, err := b.update(write, object, func(s *tightbeamv1.TurnStatus) {
		t.begin(s, out, object.Status.Attempts, tightbeamv1.TurnAttempt{Model: model.Name, Job: job, StartTime: begun})
	})
	switch {
	case statuses.Gone(err):
		b.task(func(ctx context.Context) { t.vanished(ctx) })
		return nil, errEnded
	case errors.Is(err, errEnded):
		// Somebody wrote a terminal phase past the broker, which takes it as
		// it is.
		b.task(t.expire)
		return nil, errEnded
	case err != nil:
		return nil, t.putBack(fmt.Errorf("assigning turn %s: %w", t, err))
	}

	t.publishDurable(resumed)
	t.run(updated, base)
	b.Observer.ConversationChanged(t.namespace, object.Spec.Conversation)
	grace := b.JobGrace
	if ctx.Err() != nil {
		grace = 0
	}
	t.awaitJob(number, grace)
	return out, nil
}

// begin is what an assignment writes into the status, behind the attempts before.
func (t *turn) begin(s *tightbeamv1.TurnStatus, a *pb.TurnAssignment, before []tightbeamv1.TurnAttempt, attempt tightbeamv1.TurnAttempt) {
	s.Phase = tightbeamv1.TurnRunning
	s.NotBefore = nil
	s.SystemSHA256 = systemSHA256(a.System)
	// What is stored may have this attempt, of a write whose outcome was unknown,
	// and lack others, by somebody's hand.
	s.Attempts = append(before[:len(before):len(before)], attempt)
	if s.StartTime == nil {
		s.StartTime = &attempt.StartTime
		s.Timings = &tightbeamv1.TurnTimings{QueuedMilliseconds: t.sinceAccepted(attempt.StartTime)}
	}
}

// run makes the turn the running one that its stored object says it is, with
// its last attempt. The caller holds op.
func (t *turn) run(object *tightbeamv1.Turn, base int64) {
	number := int32(len(object.Status.Attempts))
	a := &object.Status.Attempts[number-1]
	t.mu.Lock()
	t.object, t.state = object, running
	t.attempt = newAttempt(number, a, base)
	t.mu.Unlock()
	t.broker.countRunning(t.namespace, a.Model, 1)
	t.publish(startedEvent(base, number, a))
}

// startedEvent depends on nothing but the attempt, so that a crash before it
// was durable changes nothing about it.
func startedEvent(base int64, number int32, a *tightbeamv1.TurnAttempt) *tightbeamv1.TurnEvent {
	return &tightbeamv1.TurnEvent{Number: base, Time: a.StartTime, Type: tightbeamv1.TurnEventStarted, Attempt: number, Model: a.Model}
}

// putBack returns a turn that could not be assigned to the head of its queue
// after a moment, and returns err.
func (t *turn) putBack(err error) error {
	b := t.broker
	b.after(time.Second, func(context.Context) {
		b.mu.Lock()
		defer b.mu.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.state == ready {
			b.offer(t, true)
		}
	})
	return err
}

// awaitJob gives the attempt's job a time to come (back).
func (t *turn) awaitJob(number int32, grace time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != running || t.attempt.number != number || t.attempt.stream != nil {
		return
	}
	stopTimer(t.lease)
	t.lease = t.broker.after(grace, func(ctx context.Context) {
		t.fail(ctx, number, failure{
			class:           tightbeamv1.ErrorJobLost,
			message:         fmt.Sprintf("job %s went away and did not come back within %s", t.jobName(), grace),
			unlessConnected: true,
		})
	})
}

func (t *turn) jobName() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.attempt.job
}

// sinceAccepted is in milliseconds, cut at 0: after a restart the time of
// acceptance is known to the second only.
func (t *turn) sinceAccepted(at metav1.MicroTime) int64 {
	return max(at.Sub(t.accepted).Milliseconds(), 0)
}

// RunningTurn returns the name of the conversation's running turn, if any.
func (b *Broker) RunningTurn(conversation types.UID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.conversations[conversation]
	if c == nil || len(c.queue) == 0 || c.queue[0].turn == nil {
		return ""
	}
	t := c.queue[0].turn
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != running && t.state != ending {
		return ""
	}
	return t.name
}
