// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/storage/heads"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// begun is a turn that begins with its create: a job waits for it, so that the
// write which stores it gives that job its lease. One write and one sync carry
// what else are a queued turn and its assignment.
//
// The laws are those of an assignment. The job is told once the write is
// durable, and not if it failed: then it waits on. If the outcome is unknown,
// settle finds out, and the attempt is lost to a job that never heard of it.
type begun struct {
	turn       *turn
	key        modelKey
	waiter     *waiter
	assignment *pb.TurnAssignment
}

// firstNumber is that of the Started event of a turn's first attempt.
const firstNumber = 1

// recall has a conversation's log in memory before anything of a turn is staged that
// a job waits for. Reading the log waits for what is staged; after the claim of the
// turn, which is to share the sync of its create, it would have that synced alone.
// What goes wrong here goes wrong again where the log is needed.
func (b *Broker) recall(ctx context.Context, conversation types.UID, key modelKey) {
	b.mu.Lock()
	q := b.models[key]
	waited := q != nil && q.waiters.Len() > 0
	b.mu.Unlock()
	if waited {
		_, _ = b.log.History(ctx, conversation)
	}
}

// atOnce makes the first attempt of a turn that is about to be stored, in its
// status, if it is the only one of its conversation and a job waits for it. Nil:
// it is to be queued. What goes wrong here goes wrong again in the queue, where
// it is told and tried anew.
func (b *Broker) atOnce(ctx context.Context, c *conversation, head *heads.Head, object *tightbeamv1.Turn, conversation *tightbeamv1.Conversation, accepted time.Time) *begun {
	if len(head.Queue) != 1 {
		return nil
	}
	key := modelKey{object.Namespace, object.Status.Model}
	w := b.pick(key)
	if w == nil {
		return nil
	}
	s := &begun{turn: b.newTurn(object, c, accepted), key: key, waiter: w}
	if err := s.prepare(ctx, object, conversation); err != nil {
		s.abandon()
		return nil
	}
	return s
}

func (s *begun) prepare(ctx context.Context, object *tightbeamv1.Turn, conversation *tightbeamv1.Conversation) error {
	t := s.turn
	b := t.broker
	model, err := b.Model(ctx, t.namespace, s.key.model)
	if err != nil {
		return err
	}
	log, err := b.log.History(ctx, t.conversation.uid)
	if err != nil {
		return err
	}
	s.assignment = assignment(object, conversation, model, log, 1, t.deadlineTime())
	if err := t.numbers.With(ctx, firstNumber+events.ReserveBlock); err != nil {
		return err
	}
	t.begin(&object.Status, s.assignment, nil, tightbeamv1.TurnAttempt{Model: model.Name, Job: s.waiter.job, StartTime: t.now()})
	return nil
}

// accept takes the turn, stored now, into the broker, and tells the job.
func (s *begun) accept(object *tightbeamv1.Turn) {
	t := s.turn
	b := t.broker
	t.op.lock() // the job may be as fast as to open its stream
	t.run(object, firstNumber)
	b.enqueue(t)
	told := b.hand(s.waiter, handed{turn: t, assignment: s.assignment})
	t.op.unlock()
	grace := b.JobGrace
	if !told {
		grace = 0
	}
	t.awaitJob(s.assignment.GetAttempt(), grace)
	b.Observer.ConversationChanged(t.namespace, object.Spec.Conversation)
}

// abandon lets the job wait on for another turn.
func (s *begun) abandon() {
	if s == nil {
		return
	}
	b := s.turn.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	w := s.waiter
	if w.gone || b.stopped {
		return
	}
	q := b.queue(s.key)
	if e := q.ready.Front(); e != nil {
		w.handed <- handed{turn: q.ready.Remove(e).(*turn)}
		return
	}
	w.element = q.waiters.PushFront(w)
}

// pick takes the call that has waited longest for a turn of the model, nil if
// none waits. It is handed one, or abandoned to wait on.
func (b *Broker) pick(key modelKey) *waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.models[key]
	if q == nil {
		return nil
	}
	e := q.waiters.Front()
	if e == nil {
		return nil
	}
	return q.waiters.Remove(e).(*waiter)
}

// hand gives a picked call its turn. It reports whether the call was still
// there.
func (b *Broker) hand(w *waiter, h handed) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.gone {
		return false
	}
	w.handed <- h
	return true
}
