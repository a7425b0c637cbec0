// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"cmp"
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
)

// related reads what a turn names, in the namespace of ctx. The reads are
// consistent ones: a conversation that was made a moment ago is there.
type related struct {
	conversations rest.Getter
	models        rest.Getter
}

// seen is the conversation that a create has read. The strategy's steps share
// it, so that all of them speak of the same one.
type seen struct {
	name         string
	conversation *v1.Conversation
}

type seenKey struct{}

// remembering is the context of one create.
func remembering(ctx context.Context) context.Context {
	return context.WithValue(ctx, seenKey{}, &seen{})
}

// conversation is the turn's, nil if there is none.
func (r related) conversation(ctx context.Context, turn *v1.Turn) (*v1.Conversation, error) {
	if turn.Spec.Conversation == "" {
		return nil, nil
	}
	known, _ := ctx.Value(seenKey{}).(*seen)
	if known != nil && known.conversation != nil && known.name == turn.Spec.Conversation {
		return known.conversation, nil
	}
	conversation, err := r.read(ctx, turn)
	if known != nil && conversation != nil {
		known.name, known.conversation = turn.Spec.Conversation, conversation
	}
	return conversation, err
}

func (r related) read(ctx context.Context, turn *v1.Turn) (*v1.Conversation, error) {
	obj, err := r.conversations.Get(ctx, turn.Spec.Conversation, &metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return obj.(*v1.Conversation), nil
}

func (r related) modelExists(ctx context.Context, name string) (bool, error) {
	_, err := r.models.Get(ctx, name, &metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		return false, nil
	}
	return err == nil, err
}

// modelOf is the model that a turn begins on.
func modelOf(turn *v1.Turn, conversation *v1.Conversation) string {
	return cmp.Or(turn.Spec.Model, conversation.Spec.Model)
}
