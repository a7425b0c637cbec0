// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	"safebeam.dev/safebeam/pkg/journal/messages"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// createTimeout bounds the writes of one create. They do not end with the
// client's connection: half of them would be worse than all.
const createTimeout = 30 * time.Second

// turnStorage is the storage of turns with the conversation's head in its
// path, below admission, quota, validation and dry run: what reaches it is
// meant.
type turnStorage struct {
	storage.Interface
	broker *Broker
}

// Create claims the turn's place in its conversation, stores the turn, and
// hands it to the broker: as Queued, or as Running where it is the first of its
// conversation and a job waits for it.
func (s *turnStorage) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	b := s.broker
	turn, ok := obj.(*tightbeamv1.Turn)
	if !ok {
		return fmt.Errorf("%T is no turn", obj)
	}
	// A name that is taken burns no position. The watch cache may be behind: of a
	// turn that was just made, then the store says it, and of one that was just
	// deleted. What it returns shares its parts with everybody: nothing is decoded
	// into that.
	if s.Get(ctx, key, storage.GetOptions{ResourceVersion: "0"}, &tightbeamv1.Turn{}) == nil &&
		s.Get(ctx, key, storage.GetOptions{}, &tightbeamv1.Turn{}) == nil {
		return storage.NewKeyExistsError(key, 0)
	}
	conversation, err := b.Conversation(ctx, turn.Namespace, turn.Spec.Conversation)
	if err != nil {
		return err
	}
	if err := b.checkToolResults(ctx, conversation, turn); err != nil {
		return err
	}
	if err := b.checkSize(turn); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()

	accepted := b.clock.Now()
	model := cmp.Or(turn.Status.Model, modelOf(turn, conversation))
	b.recall(ctx, conversation.UID, modelKey{turn.Namespace, model})
	c := b.enter(conversation.UID, conversation.Namespace, conversation.Name)
	defer b.leave(c)
	head, err := b.Heads.Claim(ctx, heads.Request{Conversation: conversation, Turn: turn})
	if err != nil {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			// Whether the claim is there is unknown.
			b.settle(c, turn, err)
		}
		return err
	}
	b.claimed(c, head)
	turn.Status = tightbeamv1.TurnStatus{
		Phase: tightbeamv1.TurnQueued, ConversationUID: string(conversation.UID), Model: model,
	}
	for _, claim := range head.Queue {
		if claim.UID == turn.UID {
			turn.Status.Position = claim.Position
		}
	}
	begun := b.atOnce(ctx, c, head, turn, conversation, accepted)
	if err := s.Interface.Create(ctx, key, turn, out, ttl); err != nil {
		begun.abandon()
		b.settle(c, turn, err)
		return err
	}
	created := turn
	if o, ok := out.(*tightbeamv1.Turn); ok && o != nil {
		created = o
	}
	if begun != nil {
		begun.accept(created.DeepCopy())
		return nil
	}
	b.accept(c, created.DeepCopy(), accepted)
	return nil
}

// statusBytes is the room that a turn's object must leave for its status
// without an answer: a turn that is accepted can always be ended.
const statusBytes = 128 << 10

func (b *Broker) checkSize(turn *tightbeamv1.Turn) error {
	data, err := json.Marshal(turn)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if limit := b.MaxObjectBytes - statusBytes; len(data) > limit {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the turn is %d bytes as JSON, images in base64; the store takes at most %d", len(data), limit))
	}
	return nil
}

func modelOf(turn *tightbeamv1.Turn, conversation *tightbeamv1.Conversation) string {
	if turn.Spec.Model != "" {
		return turn.Spec.Model
	}
	return conversation.Spec.Model
}

// Delete removes the turn and what the broker holds for it. The answer of a
// turn that has just ended enters its conversation's log first.
func (s *turnStorage) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions, validate storage.ValidateObjectFunc, cached runtime.Object, options storage.DeleteOptions) error {
	found := &tightbeamv1.Turn{}
	if err := s.Get(ctx, key, storage.GetOptions{ResourceVersion: "0"}, found); err == nil {
		if t := s.broker.find(found.UID); t != nil {
			if err := t.followedUp(ctx); err != nil {
				return err
			}
		}
	}
	if err := s.Interface.Delete(ctx, key, out, preconditions, validate, cached, options); err != nil {
		return err
	}
	if turn, ok := out.(*tightbeamv1.Turn); ok {
		s.broker.deleted(turn.DeepCopy())
	}
	return nil
}

// accept takes a stored turn that is queued into the broker.
func (b *Broker) accept(c *conversation, object *tightbeamv1.Turn, accepted time.Time) {
	t := b.newTurn(object, c, accepted)
	b.enqueue(t)
	b.mu.Lock()
	b.dispatch(c)
	b.mu.Unlock()
	b.Observer.ConversationChanged(c.namespace, c.name)
}

// enqueue puts a stored turn into its place.
func (b *Broker) enqueue(t *turn) {
	t.arm()
	preempted, by := b.stored(t.conversation, t)
	b.preempt(t, preempted, by)
}

// preempt cancels what a turn's claim preempts, and the turn itself if a later
// one's does.
func (b *Broker) preempt(t *turn, preempted []*turn, by *heads.Claim) {
	stop := func(t *turn, by heads.Claim) {
		reason := "Interrupted"
		if by.Policy == tightbeamv1.ConcurrencyRollback {
			reason = reasonRolledBack
		}
		b.task(func(ctx context.Context) {
			if err := t.stop(ctx, reason, fmt.Sprintf("turn %q took over: the conversation's concurrencyPolicy is %s", by.Name, by.Policy)); err != nil {
				b.logger.Error(err, "cannot cancel a preempted turn", "turn", t.String())
			}
		})
	}
	policy := tightbeamv1.ConcurrencyInterrupt
	b.mu.Lock()
	for _, s := range t.conversation.queue {
		if s.turn == t {
			policy = s.claim.Policy
		}
	}
	b.mu.Unlock()
	for _, p := range preempted {
		stop(p, heads.Claim{Name: t.name, Policy: policy})
	}
	if by != nil {
		stop(t, *by)
	}
}

// arm starts the clock of the turn's deadline.
func (t *turn) arm() {
	at := t.deadlineTime()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline = t.broker.after(at.Sub(t.broker.clock.Now()), t.expire)
}

// settle finds out, for as long as it takes, whether a turn whose create
// failed is stored after all, and gives up its claim if not.
func (b *Broker) settle(c *conversation, object *tightbeamv1.Turn, because error) {
	object = object.DeepCopy()
	b.mu.Lock()
	c.users++
	b.mu.Unlock()
	b.task(func(ctx context.Context) {
		defer b.leave(c)
		if statuses.Undecided(because) {
			// The write may still be on its way.
			if b.sleep(ctx, createTimeout) != nil {
				return
			}
		}
		_ = b.insist(ctx, "settling the create of turn "+object.Namespace+"/"+object.Name, func(ctx context.Context) error {
			stored, err := b.store.Get(ctx, object.Namespace, object.Name)
			if err != nil {
				return err
			}
			head, err := b.Heads.Get(ctx, c.uid)
			if err != nil {
				return err
			}
			b.claimed(c, head)
			if stored != nil && stored.UID == object.UID {
				return b.found(ctx, c, stored)
			}
			if err := b.journal.Drop(ctx, turnRoot(object.UID)); err != nil {
				return err
			}
			if _, err := b.Heads.Release(ctx, c.uid, object.UID, nil); err != nil {
				return err
			}
			b.released(c, object.UID)
			return nil
		})
	})
}

// found takes up a turn that turned out to be stored. If it was stored as
// running, no job was told.
func (b *Broker) found(ctx context.Context, c *conversation, object *tightbeamv1.Turn) error {
	if object.Status.Phase != tightbeamv1.TurnRunning {
		b.accept(c, object, object.CreationTimestamp.Time)
		return nil
	}
	t := b.newTurn(object, c, object.CreationTimestamp.Time)
	if err := t.restore(ctx); err != nil {
		return err
	}
	b.enqueue(t)
	t.resume()
	t.awaitJob(t.attempt.number, 0)
	return nil
}

// deleted cleans up after a turn that was deleted.
func (b *Broker) deleted(object *tightbeamv1.Turn) {
	b.mu.Lock()
	t := b.turns[object.UID]
	if t != nil {
		b.unname(t)
	} else if c := b.conversations[types.UID(object.Status.ConversationUID)]; c != nil {
		for _, s := range c.queue {
			if s.claim.UID == object.UID {
				s.deleted = true // its create, which is under way, sees to it
				b.mu.Unlock()
				return
			}
		}
	}
	b.mu.Unlock()
	if t != nil {
		b.task(t.vanished)
		return
	}
	// Ended long ago; only its events are left.
	b.task(func(ctx context.Context) {
		_ = b.insist(ctx, "removing the events of turn "+object.Namespace+"/"+object.Name, func(ctx context.Context) error {
			return b.journal.Drop(ctx, turnRoot(object.UID))
		})
	})
}

// checkToolResults refuses a tool message that answers no call: a provider
// would refuse the whole history from then on.
func (b *Broker) checkToolResults(ctx context.Context, conversation *tightbeamv1.Conversation, turn *tightbeamv1.Turn) error {
	var called map[string]bool
	var open []string
	own := map[string]bool{}
	for i, message := range turn.Spec.Messages {
		for _, call := range message.ToolCalls {
			own[call.ID] = true
		}
		if message.Role != tightbeamv1.RoleTool || own[message.ToolCallID] {
			continue
		}
		if called == nil {
			// The call may be in an answer that was just given.
			if err := b.AwaitLog(ctx, conversation.UID); err != nil {
				return err
			}
			log, err := b.log.History(ctx, conversation.UID)
			if err != nil {
				return err
			}
			open, called = messages.OpenToolCalls(messages.Render(log, 0))
		}
		if called[message.ToolCallID] {
			continue
		}
		detail := fmt.Sprintf("conversation %q has no tool call of this id; no call is open", conversation.Name)
		if len(open) > 0 {
			detail = fmt.Sprintf("conversation %q has no tool call of this id; open calls: %s", conversation.Name, strings.Join(open, ", "))
		}
		return apierrors.NewInvalid(tightbeamv1.Kind("Turn"), turn.Name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "messages").Index(i).Child("toolCallID"), message.ToolCallID, detail),
		})
	}
	return nil
}
