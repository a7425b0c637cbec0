// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

// What a turn carries whose answer is said on a channel of its namespace. Whoever
// writes it needs the verb get on that channel.
const (
	// LabelChannel names the TightbeamChannel.
	LabelChannel = "tightbeam.dev/channel"
	// LabelReply is ReplyPending until the answer has been said, then ReplySaid.
	LabelReply = "tightbeam.dev/reply"
	// AnnotationReplyAddress is where on the channel, as the gateway's
	// ChannelAddress in JSON.
	AnnotationReplyAddress = "tightbeam.dev/reply-address"

	ReplyPending = "pending"
	ReplySaid    = "said"
)
