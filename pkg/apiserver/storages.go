// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	"safebeam.dev/safebeam/pkg/journal/messages"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/podrecord"
	"safebeam.dev/safebeam/pkg/registry/stream"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/channel"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/conversation"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/model"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/modelpod"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/turn"
	"safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// Storages are the REST storages of all resources and what is behind them.
type Storages struct {
	Models        *model.REST
	Channels      *channel.REST
	Conversations *conversation.REST
	Turns         *turn.Storages
	// Messages are the message logs of conversations.
	Messages *messages.Log
	// Broker runs turns.
	Broker *turns.Broker
	// Sandboxes are the storages of llmsafespace.dev.
	Sandboxes *SandboxStorages

	heads              *heads.Store
	modelStatus        *generic.StatusREST
	channelStatus      *generic.StatusREST
	conversationStatus *generic.StatusREST
	conversationLog    *conversation.LogREST
	modelPods          *podrecord.REST // nil: not served
}

func newStorages(authorizer authorizer.Authorizer, extra *ExtraConfig, streams *stream.Server) (*Storages, error) {
	store := extra.Store
	s := &Storages{Messages: messages.New(store.Journal(), extra.MessageCacheBytes)}
	var err error
	s.Models, s.modelStatus, err = model.NewREST(model.Config{Scheme: Scheme, Authorizer: authorizer, Launcher: extra.Launcher}, store)
	if err != nil {
		return nil, err
	}
	if extra.Pods != nil {
		s.modelPods = modelpod.NewREST(s.Models, extra.Pods)
	}
	s.Channels, s.channelStatus, err = channel.NewREST(channel.Config{Scheme: Scheme, Authorizer: authorizer}, store)
	if err != nil {
		return nil, err
	}
	logs := &messageLogs{Log: s.Messages}
	s.Conversations, s.conversationStatus, s.conversationLog, err = conversation.NewREST(conversation.Config{
		Scheme: Scheme, Authorizer: authorizer, Logs: logs, Streams: streams,
	}, store)
	if err != nil {
		return nil, err
	}

	head, err := openHeads(store)
	if err != nil {
		return nil, err
	}
	conversations, err := newCurrent(store, s.Conversations.Store)
	if err != nil {
		return nil, err
	}
	models, err := newCurrent(store, s.Models.Store)
	if err != nil {
		return nil, err
	}
	options := extra.Broker
	s.heads = head
	options.Heads, options.Log, options.Journal = head, s.Messages, store.Journal()
	options.MaxObjectBytes = store.MaxObjectBytes()
	options.Conversation = seenOr(turn.SeenConversation, reader[*tightbeamv1.Conversation](conversations))
	options.Model = seenOr(turn.SeenModel, reader[*tightbeamv1.TightbeamModel](models))
	s.Broker = turns.New(options)
	logs.turns = s.Broker
	broker := brokered{s.Broker}
	s.Turns, err = turn.NewStorages(turn.Config{
		Scheme: Scheme, Authorizer: authorizer, Conversations: conversations, Models: models,
		WrapStorage: broker.Wrap, Admits: admits(head), Events: broker, Canceller: broker, Streams: streams,
	}, store)
	if err != nil {
		return nil, err
	}
	s.Sandboxes, err = newSandboxStorages(authorizer, extra, streams)
	return s, err
}

// admits asks a conversation's head whether it would take a turn now.
func admits(store *heads.Store) func(context.Context, *tightbeamv1.Conversation, *tightbeamv1.Turn) error {
	return func(ctx context.Context, conversation *tightbeamv1.Conversation, turn *tightbeamv1.Turn) error {
		return store.Admits(ctx, heads.Request{Conversation: conversation, Turn: turn})
	}
}

func openHeads(store *storage.Factory) (*heads.Store, error) {
	raw, _, err := store.Raw(storage.RawConfig{
		Resource: heads.Resource, Prefix: heads.ResourcePrefix, Codec: heads.Codec(),
		NewFunc:     func() runtime.Object { return &heads.Head{} },
		NewListFunc: func() runtime.Object { return &heads.HeadList{} },
	})
	if err != nil {
		return nil, err
	}
	return heads.NewStore(raw), nil
}

// seenOr is what the create that ctx is of has just read, else what is read now.
func seenOr[O any](seen func(ctx context.Context, name string) *O, read func(ctx context.Context, namespace, name string) (*O, error)) func(ctx context.Context, namespace, name string) (*O, error) {
	return func(ctx context.Context, namespace, name string) (*O, error) {
		if obj := seen(ctx, name); obj != nil {
			return obj, nil
		}
		return read(ctx, namespace, name)
	}
}

// reader reads objects as they are stored now.
func reader[T runtime.Object](from rest.Getter) func(ctx context.Context, namespace, name string) (T, error) {
	return func(ctx context.Context, namespace, name string) (T, error) {
		obj, err := from.Get(request.WithNamespace(ctx, namespace), name, &metav1.GetOptions{})
		if err != nil {
			var none T
			return none, err
		}
		return obj.(T), nil
	}
}

// apiGroup is what the server serves as tightbeam.dev.
func (s *Storages) apiGroup() genericapiserver.APIGroupInfo {
	served := map[string]rest.Storage{
		"tightbeammodels":          s.Models,
		"tightbeammodels/status":   s.modelStatus,
		"tightbeamchannels":        s.Channels,
		"tightbeamchannels/status": s.channelStatus,
		"conversations":            s.Conversations,
		"conversations/status":     s.conversationStatus,
		"conversations/log":        s.conversationLog,
		"turns":                    s.Turns.Turn,
		"turns/status":             s.Turns.Status,
		"turns/log":                s.Turns.Log,
		"turns/stream":             s.Turns.Stream,
		"turns/cancel":             s.Turns.Cancel,
	}
	if s.modelPods != nil {
		served["tightbeammodels/"+modelpod.Subresource] = s.modelPods
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(tightbeamv1.GroupName, Scheme, ParameterCodec, Codecs)
	group.NegotiatedSerializer = withoutProtobuf{Codecs}
	group.VersionedResourcesStorageMap[tightbeamv1.SchemeGroupVersion.Version] = served
	return group
}
