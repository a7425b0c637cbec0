// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// stripConversation drops what no loop reads of a conversation: prompts and
// tools may be large.
func stripConversation(obj any) (any, error) {
	conversation, ok := obj.(*tightbeamv1.Conversation)
	if !ok {
		return obj, nil // a tombstone
	}
	conversation.ManagedFields = nil
	conversation.Annotations = nil
	conversation.Labels = nil
	conversation.Spec = tightbeamv1.ConversationSpec{TTLSecondsAfterLastTurn: conversation.Spec.TTLSecondsAfterLastTurn}
	conversation.Status = tightbeamv1.ConversationStatus{
		Phase:        conversation.Status.Phase,
		LastTurnTime: conversation.Status.LastTurnTime,
	}
	return conversation, nil
}
