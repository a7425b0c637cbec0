// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// Recover takes up what the process before left: it drops claims without a
// turn, follows up on turns that ended, gives the jobs of running ones time to
// come back, and queues the others. Nothing is created or assigned before it
// has returned.
func (b *Broker) Recover(ctx context.Context) error {
	all, err := b.Heads.List(ctx)
	if err != nil {
		return err
	}
	claims := map[types.UID]bool{}
	for i := range all {
		for _, claim := range all[i].Queue {
			claims[claim.UID] = true
		}
	}
	objects, err := b.store.List(ctx, func(turn *tightbeamv1.Turn) bool {
		return !turn.Status.Phase.Terminal() || claims[turn.UID]
	})
	if err != nil {
		return err
	}
	byUID := make(map[types.UID]*tightbeamv1.Turn, len(objects))
	for _, object := range objects {
		byUID[object.UID] = object
	}
	placed := map[types.UID]bool{}
	for i := range all {
		if err := b.recoverHead(ctx, &all[i], byUID, placed); err != nil {
			return err
		}
	}
	for _, object := range objects {
		if !placed[object.UID] && !object.Status.Phase.Terminal() {
			// A claim is released only behind a terminal status; this is the
			// mark of a store that was put together from two.
			b.logger.Error(nil, "turn has no place in its conversation and is failed", "turn", object.Namespace+"/"+object.Name)
			c := b.enter(types.UID(object.Status.ConversationUID), object.Namespace, object.Spec.Conversation)
			t := b.newTurn(object, c, object.CreationTimestamp.Time)
			if err := t.restore(ctx); err != nil && !errors.Is(err, errIllegible) {
				return err
			}
			b.task(func(ctx context.Context) {
				defer b.leave(c)
				t.giveUp(ctx, "the turn lost its place in its conversation")
			})
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conversations {
		b.dispatch(c)
	}
	return nil
}

// recoverHead takes up the turns that a head claims and no head did before, which
// are placed then.
func (b *Broker) recoverHead(ctx context.Context, head *heads.Head, byUID map[types.UID]*tightbeamv1.Turn, placed map[types.UID]bool) error {
	if len(head.Queue) == 0 {
		return nil
	}
	c := b.enter(types.UID(head.Name), head.ConversationNamespace, head.ConversationName)
	defer b.leave(c)
	b.claimed(c, head)
	here := map[types.UID]bool{}
	for _, claim := range head.Queue {
		if here[claim.UID] {
			continue // a claim twice is one, and released with it
		}
		here[claim.UID] = true
		object := byUID[claim.UID]
		if object == nil || placed[claim.UID] || !mayBeOf(object, c.uid) {
			if _, err := b.Heads.Release(ctx, c.uid, claim.UID, nil); err != nil {
				return err
			}
			b.released(c, claim.UID)
			continue
		}
		placed[claim.UID] = true
		t := b.newTurn(object, c, object.CreationTimestamp.Time)
		illegible := t.restore(ctx)
		if illegible != nil && !errors.Is(illegible, errIllegible) {
			return illegible
		}
		preempted, by := b.stored(c, t)
		if object.Status.Phase.Terminal() {
			partial := t.attempt.blocks.content()
			b.task(func(ctx context.Context) { t.followUp(ctx, object, partial) })
			continue
		}
		t.arm()
		b.preempt(t, preempted, by)
		if illegible != nil {
			// One turn's, and no reason not to serve all others.
			b.logger.Error(illegible, "turn is failed", "turn", t.String())
			b.task(func(ctx context.Context) { t.giveUp(ctx, illegible.Error()) })
			continue
		}
		t.resume()
	}
	return nil
}

// mayBeOf reports whether a turn is one of that conversation, as far as its status
// tells.
func mayBeOf(object *tightbeamv1.Turn, conversation types.UID) bool {
	uid := object.Status.ConversationUID
	return uid == "" || uid == string(conversation)
}

// errIllegible says that what the journal has of a turn is no events.
var errIllegible = errors.New("the events of the turn cannot be read")

// restore reads back what the journal knows of a turn. With errIllegible, it is
// where the next event's number is, and no more.
func (t *turn) restore(ctx context.Context) error {
	reserved, err := t.broker.journal.Last(ctx, reservedOwner(t.uid))
	if err != nil {
		return fmt.Errorf("reading the reservation of turn %s: %w", t, err)
	}
	records, err := t.broker.journal.Read(ctx, t.owner, 0, 0)
	if err != nil {
		return fmt.Errorf("reading the events of turn %s: %w", t, err)
	}
	told, err := decodeBatches(records)
	if err != nil {
		err, told = fmt.Errorf("%w: %w", errIllegible, err), nil
	}
	durable := int64(0)
	if len(records) > 0 {
		durable = records[len(records)-1].Number
	}
	t.hub = events.NewHub(durable)
	t.numbers.Recover(max(reserved, durable))
	object := t.object
	// A turn that is queued or over has been shown nothing that is not
	// durable: what it was shown before went ahead of its status.
	if object.Status.Phase == tightbeamv1.TurnRunning {
		t.uncertainTo = t.numbers.Reserved()
	}
	if object.Status.Phase.Terminal() {
		t.state = ended
		t.hub.End(terminalEvent(object))
	}
	if n := len(object.Status.Attempts); n > 0 {
		t.attempt = restoreAttempt(int32(n), &object.Status.Attempts[n-1], told, durable)
		t.logged = false
	}
	return err
}

func decodeBatches(records []journal.Record) ([]*tightbeamv1.TurnEvent, error) {
	var told []*tightbeamv1.TurnEvent
	after := int64(0)
	for _, record := range records {
		batch, err := events.Decode(record, after)
		if err != nil {
			return nil, err
		}
		for _, encoded := range batch {
			event, err := decodeEvent(encoded)
			if err != nil {
				return nil, err
			}
			told = append(told, event)
			after = event.Number
		}
	}
	return told, nil
}

// restoreAttempt rebuilds the last attempt from its durable events. Its
// Started event has the first number behind what was durable when it was
// assigned, whether it became durable itself or not.
func restoreAttempt(number int32, status *tightbeamv1.TurnAttempt, told []*tightbeamv1.TurnEvent, durable int64) attempt {
	a := newAttempt(number, status, durable+1)
	for _, event := range told {
		if event.Type == tightbeamv1.TurnEventStarted && event.Attempt == number {
			a.base = event.Number
		}
	}
	for _, event := range told {
		if event.Number <= a.base {
			continue
		}
		a.sequence = event.Number - a.base
		a.said += len(event.Text) + len(event.JSON) + len(event.Thinking)
		if event.Text != "" {
			a.blocks.add(ptr.Deref(event.Index, 0), event.Text)
		}
		if visible(event) && !a.visible {
			a.visible, a.firstToken = true, ptr.To(event.Time)
		}
		if event.Usage != nil {
			a.usage = event.Usage
		}
		switch event.Type {
		case tightbeamv1.TurnEventAttemptFailed:
			a.failed = event
		case tightbeamv1.TurnEventResumed:
			a.broken = true
		}
	}
	return a
}

// resume lets an unfinished turn go on from where the store has it.
func (t *turn) resume() {
	b := t.broker
	if t.object.Status.Phase != tightbeamv1.TurnRunning || lastAttempt(t.object) == nil {
		return // waiting; dispatched with its conversation
	}
	a := t.attempt
	t.mu.Lock()
	t.state = running
	t.mu.Unlock()
	b.countRunning(t.namespace, a.model, 1)
	switch {
	case a.failed != nil:
		// The failure was written down, what follows from it was not.
		b.task(func(ctx context.Context) {
			f := failure{published: true, class: tightbeamv1.ErrorInternal}
			if e := a.failed.Error; e != nil {
				f.class, f.message, f.requestID = e.Class, e.Message, e.RequestID
			}
			_ = t.fail(ctx, a.number, f)
		})
	case a.broken:
		b.task(func(ctx context.Context) {
			_ = t.fail(ctx, a.number, failure{class: tightbeamv1.ErrorJobLost, message: "the server stopped while it gave up the job"})
		})
	default:
		if t.hub.Last() < a.base {
			t.publish(startedEvent(a.base, a.number, &t.object.Status.Attempts[a.number-1]))
		}
		t.awaitJob(a.number, b.JobGrace)
	}
}
