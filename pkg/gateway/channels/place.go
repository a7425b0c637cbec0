// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// everybody in spec.allowedSenders lets all senders in.
const everybody = "*"

func allowed(channel *tightbeamv1.TightbeamChannel, sender string) bool {
	senders := channel.Spec.AllowedSenders
	return slices.Contains(senders, everybody) || (sender != "" && slices.Contains(senders, sender))
}

// conversationName names the conversation that a message belongs to by
// spec.conversation.scope. Where the platform has no threads, or a job of the
// seed names none, the next narrower thing that is known stands in: a thread
// becomes its channel, a channel its sender, so that people are not mixed who
// did not meet.
func conversationName(channel *tightbeamv1.TightbeamChannel, sender string, at *pb.ChannelAddress) string {
	scope := tightbeamv1.ConversationScopeThread
	if c := channel.Spec.Conversation; c != nil && c.Scope != "" {
		scope = c.Scope
	}
	bySender := []string{"sender", sender}
	byChannel := []string{"channel", at.GetChannelId()}
	key := bySender
	switch {
	case scope == tightbeamv1.ConversationScopeSender:
	case scope == tightbeamv1.ConversationScopeThread && at.GetThreadId() != "":
		key = []string{"thread", at.GetChannelId(), at.GetThreadId()}
	case at.GetChannelId() != "":
		key = byChannel
	}
	return name(channel.Name, key...)
}

// turnName names the turn of a message by the platform's id of it, "" if it
// has none.
func turnName(channel string, at *pb.ChannelAddress) string {
	if at.GetMessageId() == "" {
		return ""
	}
	return name(channel, "message", at.GetChannelId(), at.GetMessageId())
}

// name is the channel's name, cut to fit, and a hash of what platforms call
// things: their ids are no names of objects.
func name(channel string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	hash := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
	const most = 63 - 1 - 16
	if len(channel) > most {
		channel = strings.TrimRight(channel[:most], "-.")
	}
	return channel + "-" + hash
}
