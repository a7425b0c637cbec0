// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package printing

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/table/tabletest"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestTurnsLookGood(t *testing.T) {
	t.Parallel()
	list := &v1.TurnList{Items: []v1.Turn{
		{ObjectMeta: tabletest.Meta("question-1", time.Hour), Spec: v1.TurnSpec{Conversation: "chat", Agent: "helper"}, Status: v1.TurnStatus{
			Phase: v1.TurnSucceeded, Model: "claude", StopReason: v1.StopEndTurn, Position: 1, Attempts: make([]v1.TurnAttempt, 2),
			Usage:   &v1.Usage{InputTokens: 1200, CacheReadTokens: 11100, OutputTokens: 345},
			Timings: &v1.TurnTimings{FirstTokenMilliseconds: 87, TotalMilliseconds: 3214},
			Message: &v1.Message{Content: []v1.ContentBlock{{Thinking: ptr.To("hm")}, {Text: ptr.To("Forty-two,\n\nas everybody knows who has ever asked that question before.")}}},
		}},
		{ObjectMeta: tabletest.Meta("question-2", time.Minute), Spec: v1.TurnSpec{Conversation: "chat"}, Status: v1.TurnStatus{
			Phase: v1.TurnFailed, Model: "gpt", Position: 2, Error: &v1.TurnError{Class: v1.ErrorRateLimited, Message: "429: slow down"},
			Timings: &v1.TurnTimings{TotalMilliseconds: 245_000},
		}},
		{ObjectMeta: tabletest.Meta("question-3", time.Second), Spec: v1.TurnSpec{Conversation: "chat", Model: "echo"}, Status: v1.TurnStatus{Phase: v1.TurnQueued, Position: 3}},
	}}
	list.Items[2].DeletionTimestamp = tabletest.Ago(0)
	tabletest.Looks(t, turns, list, false, `
NAME         CONVERSATION   PHASE         MODEL    STOP          TOKENS      TOOK     AGE
question-1   chat           Succeeded     claude   EndTurn       12.3k/345   3.21s    60m
question-2   chat           Failed        gpt      RateLimited   <none>      4m5s     60s
question-3   chat           Terminating   echo     <none>        <none>      <none>   1s
`)
	tabletest.Looks(t, turns, list, true, `
NAME         CONVERSATION   PHASE         MODEL    STOP          TOKENS      TOOK     AGE   POSITION   AGENT    ATTEMPTS   FIRST TOKEN   ANSWER
question-1   chat           Succeeded     claude   EndTurn       12.3k/345   3.21s    60m   1          helper   2          87ms          Forty-two, as everybody knows who has ever asked …
question-2   chat           Failed        gpt      RateLimited   <none>      4m5s     60s   2          <none>   0          <none>        429: slow down
question-3   chat           Terminating   echo     <none>        <none>      <none>   1s    3          <none>   0          <none>        <none>
`)
}

func TestConversationsLookGood(t *testing.T) {
	t.Parallel()
	list := &v1.ConversationList{Items: []v1.Conversation{
		{ObjectMeta: tabletest.Meta("chat", 26*time.Hour), Spec: v1.ConversationSpec{Model: "claude", Title: "All about whales", ConcurrencyPolicy: v1.ConcurrencyEnqueue}, Status: v1.ConversationStatus{
			Phase: v1.ConversationActive, Turns: 12, Messages: 25, ActiveTurn: "question-12", LastTurnTime: tabletest.Ago(3 * time.Minute),
			Usage: &v1.Usage{InputTokens: 4_560_000, OutputTokens: 999},
		}},
		{ObjectMeta: tabletest.Meta("new", 0), Spec: v1.ConversationSpec{Model: "echo"}},
	}}
	tabletest.Looks(t, conversations, list, false, `
NAME   MODEL    PHASE    TURNS   MESSAGES   LAST TURN   AGE
chat   claude   Active   12      25         3m          26h
new    echo     <none>   0       0          <none>      0s
`)
	tabletest.Looks(t, conversations, list, true, `
NAME   MODEL    PHASE    TURNS   MESSAGES   LAST TURN   AGE   ACTIVE TURN   POLICY    TOKENS      TITLE
chat   claude   Active   12      25         3m          26h   question-12   Enqueue   4.56M/999   All about whales
new    echo     <none>   0       0          <none>      0s    <none>        <none>    <none>      <none>
`)
}

func TestModelsLookGood(t *testing.T) {
	t.Parallel()
	list := &v1.TightbeamModelList{Items: []v1.TightbeamModel{
		{ObjectMeta: tabletest.Meta("claude", time.Hour), Spec: v1.TightbeamModelSpec{
			Provider: v1.ProviderAnthropic, Model: "claude-sonnet", SecretName: "llm-key", Jobs: &v1.ModelJobs{Max: ptr.To[int32](4)},
		}, Status: v1.TightbeamModelStatus{
			ConnectedJobs: 2, QueuedTurns: 3, RunningTurns: 16, Usage: &v1.Usage{InputTokens: 1, OutputTokens: 2},
			Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Connected"}},
		}},
		{ObjectMeta: tabletest.Meta("local", time.Hour), Spec: v1.TightbeamModelSpec{Provider: v1.ProviderOpenAI, Model: "qwen", SecretName: "vllm-key", BaseURL: "http://vllm:8000/v1"}, Status: v1.TightbeamModelStatus{
			Conditions: []metav1.Condition{{Type: "Ready", Status: "False", Reason: "SecretInvalid"}},
		}},
	}}
	tabletest.Looks(t, models, list, false, `
NAME     PROVIDER    MODEL           READY   JOBS   QUEUED   RUNNING   AGE
claude   anthropic   claude-sonnet   True    2/4    3        16        60m
local    openai      qwen            False   0/1    0        0         60m
`)
	tabletest.Looks(t, models, list, true, `
NAME     PROVIDER    MODEL           READY   JOBS   QUEUED   RUNNING   AGE   REASON          TOKENS   SECRET     BASE URL
claude   anthropic   claude-sonnet   True    2/4    3        16        60m   <none>          1/2      llm-key    <none>
local    openai      qwen            False   0/1    0        0         60m   SecretInvalid   <none>   vllm-key   http://vllm:8000/v1
`)
}

func TestChannelsLookGood(t *testing.T) {
	t.Parallel()
	channel := &v1.TightbeamChannel{ObjectMeta: tabletest.Meta("discord-bot", time.Hour), Spec: v1.TightbeamChannelSpec{
		Type: v1.ChannelTypeDiscord, SecretName: "bot-token", TargetModel: "claude", Conversation: &v1.ChannelConversation{Scope: v1.ConversationScopeThread},
	}, Status: v1.TightbeamChannelStatus{JobRef: "discord-bot-x7", LastMessageTime: tabletest.Ago(5 * time.Minute)}}
	tabletest.Looks(t, channels, channel, false, `
NAME          TYPE      TARGET MODEL   CONNECTED   LAST MESSAGE   AGE
discord-bot   discord   claude         Unknown     5m             60m
`)
	tabletest.Looks(t, channels, channel, true, `
NAME          TYPE      TARGET MODEL   CONNECTED   LAST MESSAGE   AGE   REASON   SCOPE    SECRET      JOB
discord-bot   discord   claude         Unknown     5m             60m   <none>   Thread   bot-token   discord-bot-x7
`)
}

func TestTableCarriesTheListsPosition(t *testing.T) {
	t.Parallel()
	list := &v1.TurnList{ListMeta: metav1.ListMeta{ResourceVersion: "42", Continue: "next", RemainingItemCount: ptr.To[int64](7)}}
	converted, err := Turns().ConvertToTable(context.Background(), list, &metav1.TableOptions{NoHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	if converted.ResourceVersion != "42" || converted.Continue != "next" || *converted.RemainingItemCount != 7 || converted.ColumnDefinitions != nil {
		t.Errorf("got %+v", converted)
	}
}
