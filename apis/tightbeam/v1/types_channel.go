// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ChannelType names a messaging platform.
// +enum
type ChannelType string

const (
	ChannelTypeDiscord ChannelType = "discord"
	ChannelTypeSlack   ChannelType = "slack"
)

// ConversationScope says what shares one conversation.
// +enum
type ConversationScope string

const (
	ConversationScopeThread  ConversationScope = "Thread"
	ConversationScopeChannel ConversationScope = "Channel"
	ConversationScopeSender  ConversationScope = "Sender"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TightbeamChannel declares a connection to a messaging platform and the
// Secret with its bot token.
type TightbeamChannel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which platform, and who is answered by what.
	Spec TightbeamChannelSpec `json:"spec"`
	// status is what has been observed of the channel.
	// +optional
	Status TightbeamChannelStatus `json:"status,omitempty"`
}

// TightbeamChannelSpec says which platform, and who is answered by what.
type TightbeamChannelSpec struct {
	// type is the platform: discord or slack.
	Type ChannelType `json:"type"`
	// secretName names the Secret of this namespace with the key bot-token
	// (for slack also app-token), mounted into the job at
	// /run/secrets/channel. Whoever sets it must be allowed to get that Secret.
	SecretName string `json:"secretName"`
	// image is the image of the job. Default: the server's for this type. It
	// must match --allowed-job-images.
	// +optional
	Image string `json:"image,omitempty"`
	// targetModel names the TightbeamModel that answers.
	// +optional
	TargetModel string `json:"targetModel,omitempty"`
	// conversation says what shares one conversation.
	// +optional
	// +default={}
	Conversation *ChannelConversation `json:"conversation,omitempty"`
	// allowedSenders are the platform's ids of those who are answered. Empty:
	// nobody; "*": everybody.
	// +optional
	// +listType=set
	AllowedSenders []string `json:"allowedSenders,omitempty"`
	// system is the system prompt of the conversations made by this channel.
	// +optional
	System string `json:"system,omitempty"`
	// agent is the agent that the turns of this channel run as.
	// +optional
	Agent string `json:"agent,omitempty"`
}

// ChannelConversation says what shares one conversation.
type ChannelConversation struct {
	// scope is Thread, Channel or Sender. Default Thread.
	// +optional
	// +default="Thread"
	Scope ConversationScope `json:"scope,omitempty"`
}

// TightbeamChannelStatus is what has been observed of a channel.
type TightbeamChannelStatus struct {
	// conditions: Connected says whether the channel's job holds a connection
	// to the platform.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
	// observedGeneration is the generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// lastMessageTime is when the last message came in, to the minute.
	// +optional
	LastMessageTime *metav1.Time `json:"lastMessageTime,omitempty"`
	// jobRef is the name of the Job that holds the connection.
	// +optional
	JobRef string `json:"jobRef,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TightbeamChannelList is a list of channels.
type TightbeamChannelList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []TightbeamChannel `json:"items"`
}
