// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	modelDefaults := func(change func(*TightbeamModelSpec)) *TightbeamModel {
		model := &TightbeamModel{Spec: TightbeamModelSpec{
			MaxTokens: ptr.To[int32](8192), IdleTimeout: ptr.To[int32](300),
			Jobs:  &ModelJobs{Min: ptr.To[int32](0), Max: ptr.To[int32](1), TurnsPerJob: ptr.To[int32](8)},
			Retry: &ModelRetry{MaxAttempts: ptr.To[int32](3), BackoffSeconds: ptr.To[int32](1)},
		}}
		change(&model.Spec)
		return model
	}
	for _, tc := range []struct {
		name        string
		given, want runtime.Object
	}{
		{"a model", &TightbeamModel{Spec: TightbeamModelSpec{Provider: ProviderAnthropic}}, modelDefaults(func(s *TightbeamModelSpec) {
			s.Provider = ProviderAnthropic
		})},
		{"a model that sets everything", modelDefaults(func(s *TightbeamModelSpec) {
			s.MaxTokens, s.IdleTimeout = ptr.To[int32](1), ptr.To[int32](2)
			s.Jobs = &ModelJobs{Min: ptr.To[int32](3), Max: ptr.To[int32](4), TurnsPerJob: ptr.To[int32](5)}
			s.Retry = &ModelRetry{MaxAttempts: ptr.To[int32](6), BackoffSeconds: ptr.To[int32](0)}
		}), modelDefaults(func(s *TightbeamModelSpec) {
			s.MaxTokens, s.IdleTimeout = ptr.To[int32](1), ptr.To[int32](2)
			s.Jobs = &ModelJobs{Min: ptr.To[int32](3), Max: ptr.To[int32](4), TurnsPerJob: ptr.To[int32](5)}
			s.Retry = &ModelRetry{MaxAttempts: ptr.To[int32](6), BackoffSeconds: ptr.To[int32](0)}
		})},
		{"a model with more jobs kept than one", &TightbeamModel{Spec: TightbeamModelSpec{Jobs: &ModelJobs{Min: ptr.To[int32](3)}}}, modelDefaults(func(s *TightbeamModelSpec) {
			s.Jobs.Min, s.Jobs.Max = ptr.To[int32](3), ptr.To[int32](3)
		})},
		{"OpenAI itself", &TightbeamModel{Spec: TightbeamModelSpec{Provider: ProviderOpenAI}}, modelDefaults(func(s *TightbeamModelSpec) {
			s.Provider, s.WireFormat = ProviderOpenAI, WireFormatResponses
		})},
		{"OpenAI's protocol elsewhere", &TightbeamModel{Spec: TightbeamModelSpec{Provider: ProviderOpenAI, BaseURL: "http://vllm"}}, modelDefaults(func(s *TightbeamModelSpec) {
			s.Provider, s.BaseURL, s.WireFormat = ProviderOpenAI, "http://vllm", WireFormatChat
		})},
		{"Responses elsewhere", &TightbeamModel{Spec: TightbeamModelSpec{Provider: ProviderOpenAI, BaseURL: "http://vllm", WireFormat: WireFormatResponses}}, modelDefaults(func(s *TightbeamModelSpec) {
			s.Provider, s.BaseURL, s.WireFormat = ProviderOpenAI, "http://vllm", WireFormatResponses
		})},
		{"a channel", &TightbeamChannel{}, &TightbeamChannel{Spec: TightbeamChannelSpec{Conversation: &ChannelConversation{Scope: ConversationScopeThread}}}},
		{"a conversation", &Conversation{}, &Conversation{Spec: ConversationSpec{ConcurrencyPolicy: ConcurrencyEnqueue, MaxQueuedTurns: ptr.To[int32](32)}}},
		{"a conversation without queue", &Conversation{Spec: ConversationSpec{MaxQueuedTurns: ptr.To[int32](0)}}, &Conversation{Spec: ConversationSpec{ConcurrencyPolicy: ConcurrencyEnqueue, MaxQueuedTurns: ptr.To[int32](0)}}},
		{"a turn", &Turn{}, &Turn{Spec: TurnSpec{DeadlineSeconds: ptr.To[int32](600)}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			group.Scheme(t).Default(tc.given)
			if diff := cmp.Diff(tc.want, tc.given); diff != "" {
				t.Error(diff)
			}
		})
	}
}
