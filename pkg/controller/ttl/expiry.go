// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package ttl

import (
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// verdict on an object at some time.
type verdict struct {
	// expired: it is to be deleted now.
	expired bool
	// after is when to look again, if above zero. An object that is not
	// expired and has none is looked at again when it changes.
	after time.Duration
}

// expiresAt judges an object with a known end of life.
func expiresAt(end, now time.Time) verdict {
	if left := end.Sub(now); left > 0 {
		return verdict{after: left}
	}
	return verdict{expired: true}
}

// turnExpiry judges a turn. defaultTTL is for turns that name no lifetime;
// zero keeps those.
func turnExpiry(turn *tightbeamv1.Turn, defaultTTL time.Duration, now time.Time) verdict {
	if !turn.Status.Phase.Terminal() || turn.Status.CompletionTime == nil || turn.DeletionTimestamp != nil {
		return verdict{}
	}
	ttl := defaultTTL
	if own := turn.Spec.TTLSecondsAfterFinished; own != nil {
		// Zero is a lifetime too: at once.
		return expiresAt(turn.Status.CompletionTime.Add(time.Duration(*own)*time.Second), now)
	}
	if ttl <= 0 {
		return verdict{}
	}
	return expiresAt(turn.Status.CompletionTime.Add(ttl), now)
}

// conversationExpiry judges a conversation with unfinished turns in it. One
// that never had a turn lives from its creation.
func conversationExpiry(conversation *tightbeamv1.Conversation, unfinished int, now time.Time) verdict {
	own := conversation.Spec.TTLSecondsAfterLastTurn
	if own == nil || conversation.DeletionTimestamp != nil {
		return verdict{}
	}
	if unfinished > 0 || conversation.Status.Phase == tightbeamv1.ConversationActive {
		return verdict{} // the end of its turns will change it
	}
	since := conversation.CreationTimestamp.Time
	if last := conversation.Status.LastTurnTime; last != nil && last.After(since) {
		since = last.Time
	}
	return expiresAt(since.Add(time.Duration(*own)*time.Second), now)
}
