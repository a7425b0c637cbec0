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

// seen is what a create has read of what it names. Its steps share it, those of
// the storage included, so that all of them speak of the same objects. Nobody
// changes them.
type seen struct {
	conversation *v1.Conversation
	model        *v1.TightbeamModel
}

type seenKey struct{}

// remembering is the context of one create.
func remembering(ctx context.Context) context.Context {
	return context.WithValue(ctx, seenKey{}, &seen{})
}

// SeenConversation returns the conversation of that name as the create that ctx
// is of has read it, nil if it has not. A conversation that is deleted meanwhile
// has a closed head.
func SeenConversation(ctx context.Context, name string) *v1.Conversation {
	if known, _ := ctx.Value(seenKey{}).(*seen); known != nil && known.conversation != nil && known.conversation.Name == name {
		return known.conversation
	}
	return nil
}

// SeenModel returns the model of that name as the create that ctx is of has
// read it, nil if it has not.
func SeenModel(ctx context.Context, name string) *v1.TightbeamModel {
	if known, _ := ctx.Value(seenKey{}).(*seen); known != nil && known.model != nil && known.model.Name == name {
		return known.model
	}
	return nil
}

// conversation is the turn's, nil if there is none.
func (r related) conversation(ctx context.Context, turn *v1.Turn) (*v1.Conversation, error) {
	if turn.Spec.Conversation == "" {
		return nil, nil
	}
	if conversation := SeenConversation(ctx, turn.Spec.Conversation); conversation != nil {
		return conversation, nil
	}
	conversation, err := r.read(ctx, turn)
	if known, _ := ctx.Value(seenKey{}).(*seen); known != nil && conversation != nil {
		known.conversation = conversation
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
	obj, err := r.models.Get(ctx, name, &metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if known, _ := ctx.Value(seenKey{}).(*seen); known != nil {
		known.model = obj.(*v1.TightbeamModel)
	}
	return true, nil
}

// modelOf is the model that a turn begins on.
func modelOf(turn *v1.Turn, conversation *v1.Conversation) string {
	return cmp.Or(turn.Spec.Model, conversation.Spec.Model)
}
