// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package heads

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// retryAfterSeconds is what a caller is told to wait when the queue is full:
// a turn takes seconds, so a shorter wait would mostly be refused again.
const retryAfterSeconds = 2

// maxPreempted bounds the claims under Interrupt and Rollback.
const maxPreempted = 256

// Store changes heads by compare-and-swap. It is safe for concurrent use.
type Store struct {
	storage storage.Interface
	// update is the storage's, ahead of what the caller writes next where the
	// engine can order without waiting for the disk.
	update func(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool,
		preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object) error
}

// orders is a storage whose updates can be ordered ahead of the caller's next
// write, which they then share a sync with.
type orders interface {
	UpdateAhead(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool,
		preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object) error
}

// NewStore returns the heads in s, which must encode with Codec below
// ResourcePrefix and need no watch cache.
func NewStore(s storage.Interface) *Store {
	if ordering, ok := s.(orders); ok {
		return &Store{storage: s, update: ordering.UpdateAhead}
	}
	return &Store{storage: s, update: s.GuaranteedUpdate}
}

// Request is a turn that wants a place.
type Request struct {
	Conversation *tightbeamv1.Conversation
	Turn         *tightbeamv1.Turn
}

// Claim gives the turn the next position of its conversation, by the
// conversation's concurrencyPolicy. It returns the head as it then is, with
// the new claim last. The claim is ordered before whatever the caller writes
// next, and may become durable with that; until then nothing that came of it
// may be let out. An error may.
//
// Errors are API statuses: Conflict under Reject while a turn is unfinished,
// TooManyRequests when the queue is full, NotFound when the conversation is
// being deleted, Invalid where the turn has no messages and does not follow
// one of the router.
func (s *Store) Claim(ctx context.Context, r Request) (*Head, error) {
	head := &Head{}
	err := s.update(ctx, key(r.Conversation.UID), head, true, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			h := input.(*Head)
			if h.Name == "" {
				h = &Head{
					ObjectMeta:            metav1.ObjectMeta{Name: string(r.Conversation.UID), UID: r.Conversation.UID},
					ConversationNamespace: r.Conversation.Namespace,
					ConversationName:      r.Conversation.Name,
				}
			}
			return h, nil, claim(h, r)
		}, nil)
	if err != nil {
		return nil, err
	}
	return head, nil
}

// Admits tells whether a claim would be granted now. It is what a dry run
// asks and promises nothing.
func (s *Store) Admits(ctx context.Context, r Request) error {
	head, err := s.Get(ctx, r.Conversation.UID)
	if err != nil {
		return err
	}
	return claim(head, r)
}

func claim(h *Head, r Request) error {
	conversation := r.Conversation
	if h.Closed {
		return beingDeleted(conversation)
	}
	if slices.ContainsFunc(h.Queue, func(c Claim) bool { return c.UID == r.Turn.UID }) {
		return nil
	}
	if len(r.Turn.Spec.Messages) == 0 && h.agentBefore() != tightbeamv1.RouterAgent {
		return apierrors.NewInvalid(tightbeamv1.Kind("Turn"), r.Turn.Name, field.ErrorList{field.Required(
			field.NewPath("spec", "messages"),
			"at least one message is needed: only a turn that follows one of the agent router may bring none")})
	}
	policy := conversation.Spec.ConcurrencyPolicy
	switch policy {
	case tightbeamv1.ConcurrencyReject:
		if len(h.Queue) > 0 {
			return apierrors.NewConflict(tightbeamv1.Resource("turns"), r.Turn.Name, fmt.Errorf(
				"conversation %q has concurrencyPolicy Reject and turn %q is not finished; wait for it, cancel it, or change spec.concurrencyPolicy of the conversation",
				conversation.Name, h.Queue[0].Name))
		}
	case tightbeamv1.ConcurrencyInterrupt, tightbeamv1.ConcurrencyRollback:
		// Whatever waits is cancelled. That takes a write each, and the head
		// must not outgrow the store meanwhile.
		if waiting := len(h.Queue); waiting >= maxPreempted {
			return queueFull(conversation, waiting, fmt.Sprintf("at most %d turns may wait to be cancelled; try again later", maxPreempted))
		}
	default:
		if waiting := len(h.Queue) - 1; conversation.Spec.MaxQueuedTurns != nil && waiting >= int(*conversation.Spec.MaxQueuedTurns) {
			return queueFull(conversation, waiting, fmt.Sprintf("spec.maxQueuedTurns is %d; try again later or raise it", *conversation.Spec.MaxQueuedTurns))
		}
	}
	h.Positions++
	h.Queue = append(h.Queue, Claim{
		Name: r.Turn.Name, UID: r.Turn.UID, Position: h.Positions, Policy: policy, Agent: r.Turn.Spec.Agent,
	})
	return nil
}

// agentBefore is the agent of the turn that a new one follows.
func (h *Head) agentBefore() string {
	if n := len(h.Queue); n > 0 {
		return h.Queue[n-1].Agent
	}
	return h.LastAgent
}

func beingDeleted(conversation *tightbeamv1.Conversation) error {
	err := apierrors.NewNotFound(tightbeamv1.Resource("conversations"), conversation.Name)
	const message = "the conversation is being deleted"
	err.ErrStatus.Message += ": " + message
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeFieldValueNotFound, Field: "spec.conversation", Message: message,
	}}
	return err
}

func queueFull(conversation *tightbeamv1.Conversation, waiting int, remedy string) error {
	err := apierrors.NewTooManyRequests(fmt.Sprintf(
		"the queue of conversation %q is full: %d turns wait, %s", conversation.Name, waiting, remedy), retryAfterSeconds)
	err.ErrStatus.Details.Group = tightbeamv1.GroupName
	err.ErrStatus.Details.Kind = "turns"
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: metav1.CauseTypeForbidden, Field: "spec.conversation", Message: "queue full",
	})
	return err
}

// Outcome is what a finished turn leaves in the head.
type Outcome struct {
	Time  metav1.Time
	Usage *tightbeamv1.Usage
}

// Release takes the turn's claim away and, where there is an outcome, adds it.
// Releasing a claim that is not there changes nothing. Like a claim, a release is
// ordered before whatever is written next, that of the turn behind it for one;
// a crash before it is durable leaves it to recovery.
func (s *Store) Release(ctx context.Context, conversation, turn types.UID, outcome *Outcome) (*Head, error) {
	head := &Head{}
	err := s.update(ctx, key(conversation), head, false, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			h := input.(*Head)
			i := slices.IndexFunc(h.Queue, func(c Claim) bool { return c.UID == turn })
			if i < 0 {
				return h, nil, nil
			}
			agent := h.Queue[i].Agent
			h.Queue = slices.DeleteFunc(h.Queue, func(c Claim) bool { return c.UID == turn })
			if outcome != nil {
				h.LastAgent = agent
				h.LastTurnTime = outcome.Time.DeepCopy()
				if u := outcome.Usage; u != nil {
					h.Usage.InputTokens += u.InputTokens
					h.Usage.OutputTokens += u.OutputTokens
					h.Usage.CacheReadTokens += u.CacheReadTokens
					h.Usage.CacheWriteTokens += u.CacheWriteTokens
				}
			}
			return h, nil, nil
		}, nil)
	if storage.IsNotFound(err) {
		return head, nil
	}
	if err != nil {
		return nil, fmt.Errorf("releasing turn %s in the head of conversation %s: %w", turn, conversation, err)
	}
	return head, nil
}

// Close keeps further claims out. It creates the head if there is none, so
// that a create which has read the conversation before its deletion began is
// refused too.
func (s *Store) Close(ctx context.Context, conversation types.UID) (*Head, error) {
	head := &Head{}
	err := s.storage.GuaranteedUpdate(ctx, key(conversation), head, true, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			h := input.(*Head)
			if h.Name == "" {
				h.ObjectMeta = metav1.ObjectMeta{Name: string(conversation), UID: conversation}
			}
			h.Closed = true
			return h, nil, nil
		}, nil)
	if err != nil {
		return nil, fmt.Errorf("closing the head of conversation %s: %w", conversation, err)
	}
	return head, nil
}

// Delete removes the head of a conversation that is gone. It comes long after
// Close: a create that read the conversation while it was still there must
// find the closed head, not none.
func (s *Store) Delete(ctx context.Context, conversation types.UID) error {
	err := s.storage.Delete(ctx, key(conversation), &Head{}, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
	if storage.IsNotFound(err) {
		return nil
	}
	return err
}

// Get returns the head of a conversation, an empty one if it has none yet.
func (s *Store) Get(ctx context.Context, conversation types.UID) (*Head, error) {
	head := &Head{}
	if err := s.storage.Get(ctx, key(conversation), storage.GetOptions{IgnoreNotFound: true}, head); err != nil {
		return nil, err
	}
	return head, nil
}

// List returns all heads.
func (s *Store) List(ctx context.Context) ([]Head, error) {
	list := &HeadList{}
	if err := s.storage.GetList(ctx, ResourcePrefix+"/", storage.ListOptions{Predicate: storage.Everything, Recursive: true}, list); err != nil {
		return nil, fmt.Errorf("listing the heads of conversations: %w", err)
	}
	return list.Items, nil
}

func key(conversation types.UID) string {
	return ResourcePrefix + "/" + string(conversation)
}
