// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package printing

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/table"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Models prints TightbeamModels.
func Models() *table.Convertor[*v1.TightbeamModel] { return table.New(models...) }

var models = []table.Column[*v1.TightbeamModel]{
	{Name: "Provider", Description: "Whose API is spoken.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return string(m.Spec.Provider)
	}},
	{Name: "Model", Description: "The provider's id of the model.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return m.Spec.Model
	}},
	{Name: "Ready", Description: "Whether jobs of this model can run.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return table.Condition(m.Status.Conditions, "Ready")
	}},
	{Name: "Jobs", Description: "Jobs connected, of those that there may be.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		most := int32(1)
		if m.Spec.Jobs != nil {
			most = ptr.Deref(m.Spec.Jobs.Max, most)
		}
		return fmt.Sprintf("%d/%d", m.Status.ConnectedJobs, most)
	}},
	{Name: "Queued", Type: "integer", Description: "Turns that wait for a job.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return int64(m.Status.QueuedTurns)
	}},
	{Name: "Running", Type: "integer", Description: "Turns that a job runs.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return int64(m.Status.RunningTurns)
	}},
	{Name: "Reason", Wide: true, Description: "Why the model is not ready.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return table.Reason(m.Status.Conditions, "Ready")
	}},
	{Name: "Tokens", Wide: true, Description: "Tokens read and written so far.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return tokens(m.Status.Usage)
	}},
	{Name: "Secret", Wide: true, Description: "The Secret that jobs mount.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return table.OrNone(m.Spec.SecretName)
	}},
	{Name: "Base URL", Wide: true, Description: "Where the provider is, if elsewhere than usual.", Cell: func(m *v1.TightbeamModel, _ time.Time) any {
		return table.OrNone(m.Spec.BaseURL)
	}},
}

// Channels prints TightbeamChannels.
func Channels() *table.Convertor[*v1.TightbeamChannel] { return table.New(channels...) }

var channels = []table.Column[*v1.TightbeamChannel]{
	{Name: "Type", Description: "The messaging platform.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		return string(c.Spec.Type)
	}},
	{Name: "Target Model", Description: "The model that answers.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		return table.OrNone(c.Spec.TargetModel)
	}},
	{Name: "Connected", Description: "Whether there is a connection to the platform.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		return table.Condition(c.Status.Conditions, "Connected")
	}},
	{Name: "Last Message", Description: "When the last message came in.", Cell: func(c *v1.TightbeamChannel, now time.Time) any {
		return table.Ago(now, c.Status.LastMessageTime)
	}},
	{Name: "Reason", Wide: true, Description: "Why the channel is not connected.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		return table.Reason(c.Status.Conditions, "Connected")
	}},
	{Name: "Scope", Wide: true, Description: "What shares one conversation.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		if c.Spec.Conversation == nil {
			return table.None
		}
		return table.OrNone(c.Spec.Conversation.Scope)
	}},
	{Name: "Secret", Wide: true, Description: "The Secret that the job mounts.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		return c.Spec.SecretName
	}},
	{Name: "Job", Wide: true, Description: "The Job that holds the connection.", Cell: func(c *v1.TightbeamChannel, _ time.Time) any {
		return table.OrNone(c.Status.JobRef)
	}},
}

// Conversations prints Conversations.
func Conversations() *table.Convertor[*v1.Conversation] { return table.New(conversations...) }

var conversations = []table.Column[*v1.Conversation]{
	{Name: "Model", Description: "The model of turns that name none.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return c.Spec.Model
	}},
	{Name: "Phase", Description: "Whether a turn is unfinished.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return table.Phase(c, c.Status.Phase)
	}},
	{Name: "Turns", Type: "integer", Description: "Turns accepted so far.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return c.Status.Turns
	}},
	{Name: "Messages", Type: "integer", Description: "Messages in the log.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return c.Status.Messages
	}},
	{Name: "Last Turn", Description: "When the last turn ended.", Cell: func(c *v1.Conversation, now time.Time) any {
		return table.Ago(now, c.Status.LastTurnTime)
	}},
	{Name: "Active Turn", Wide: true, Description: "The turn that runs.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return table.OrNone(c.Status.ActiveTurn)
	}},
	{Name: "Policy", Wide: true, Description: "What a new turn does while one is unfinished.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return table.OrNone(c.Spec.ConcurrencyPolicy)
	}},
	{Name: "Tokens", Wide: true, Description: "Tokens read and written so far.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return tokens(c.Status.Usage)
	}},
	{Name: "Title", Wide: true, Description: "What people call it.", Cell: func(c *v1.Conversation, _ time.Time) any {
		return table.Line(c.Spec.Title, 40)
	}},
}

// tokens shows the whole prompt and what was generated.
func tokens(usage *v1.Usage) string {
	if usage == nil {
		return table.None
	}
	read := usage.InputTokens + usage.CacheReadTokens + usage.CacheWriteTokens
	return table.Count(read) + "/" + table.Count(usage.OutputTokens)
}
