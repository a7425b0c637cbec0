// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Forks copies message logs.
type Forks interface {
	// Last returns the index of the last message of a conversation's log.
	Last(ctx context.Context, conversation types.UID) (int64, error)
	// Fork copies a log, up to and with the index after (nil: all of it), to
	// a conversation that has none yet.
	Fork(ctx context.Context, from, to types.UID, after *int64) error
	// Drop removes a log.
	Drop(ctx context.Context, conversation types.UID) error
}

// forkStorage copies the log of a fork's source before it stores the fork. It
// lies below the dry-run layer, so a dry run never comes here, and above it
// everything that may refuse the fork has been asked.
//
// A crash between the copy and the conversation leaves a log that belongs to
// nobody; the sweeper drops those.
type forkStorage struct {
	storage.Interface
	logs Forks
	// source returns the conversation that obj forks.
	source func(ctx context.Context, obj *v1.Conversation) (*v1.Conversation, error)
}

// dropTimeout bounds the removal of a copy that is not needed. The request
// that made it may be over by then.
const dropTimeout = 10 * time.Second

func (s *forkStorage) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	conversation, ok := obj.(*v1.Conversation)
	if !ok || conversation.Spec.ForkFrom == nil {
		return s.Interface.Create(ctx, key, obj, out, ttl)
	}
	// A taken name is found before anything is copied.
	err := s.Interface.Get(ctx, key, storage.GetOptions{}, &v1.Conversation{})
	if err == nil {
		return storage.NewKeyExistsError(key, 0)
	}
	if !storage.IsNotFound(err) {
		return err
	}
	source, err := s.source(ctx, conversation)
	if err != nil {
		return err
	}
	if err := s.fork(ctx, source, conversation); err != nil {
		return s.drop(ctx, conversation.UID, err)
	}
	if err := s.Interface.Create(ctx, key, conversation, out, ttl); err != nil {
		return s.drop(ctx, conversation.UID, err)
	}
	return nil
}

func (s *forkStorage) fork(ctx context.Context, source, fork *v1.Conversation) error {
	if err := s.logs.Fork(ctx, source.UID, fork.UID, fork.Spec.ForkFrom.AfterIndex); err != nil {
		return apierrors.NewInternalError(fmt.Errorf("copying the log of conversation %q: %w", source.Name, err))
	}
	last, err := s.logs.Last(ctx, fork.UID)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	fork.Status.Messages = last
	return nil
}

func (s *forkStorage) drop(ctx context.Context, conversation types.UID, because error) error {
	// Whether a create that nobody answered was carried out, or will be, is not
	// known; its log stays then, and the sweeper knows.
	if statuses.Undecided(because) {
		return because
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	if err := s.logs.Drop(ctx, conversation); err != nil {
		klog.FromContext(ctx).Error(err, "Log of a fork that was not stored stays until the next sweep", "conversationUID", conversation)
	}
	return because
}

// source is what a conversation forks: a conversation of the same namespace
// that is not being deleted and has the message named by afterIndex.
func (r *REST) source(ctx context.Context, fork *v1.Conversation) (*v1.Conversation, error) {
	path := field.NewPath("spec", "forkFrom")
	from := fork.Spec.ForkFrom
	refuse := func(err *field.Error) (*v1.Conversation, error) {
		return nil, apierrors.NewInvalid(v1.Kind("Conversation"), fork.Name, field.ErrorList{err})
	}
	obj, err := r.Get(ctx, from.Conversation, &metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return refuse(generic.Missing(path.Child("conversation"), from.Conversation,
			"there is no such Conversation in this namespace to fork: name another, or leave forkFrom out"))
	}
	if err != nil {
		return nil, err
	}
	source := obj.(*v1.Conversation)
	if source.DeletionTimestamp != nil {
		return refuse(field.Invalid(path.Child("conversation"), from.Conversation, "the conversation is being deleted"))
	}
	if from.AfterIndex != nil {
		last, err := r.logs.Last(ctx, source.UID)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if *from.AfterIndex > last {
			return refuse(field.Invalid(path.Child("afterIndex"), *from.AfterIndex, fmt.Sprintf("the log of conversation %q ends at index %d", source.Name, last)))
		}
	}
	return source, nil
}
