// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/apis/tightbeam/printing"
	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/access"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme     *runtime.Scheme
	Authorizer authorizer.Authorizer
	Logs       Logs
	Streams    *stream.Server
}

// REST serves conversations.
type REST struct {
	*registry.Store
	authorizer authorizer.Authorizer
	logs       Logs
}

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// NewREST returns the storages of conversations, of their status and of their
// log.
func NewREST(config Config, options genericregistry.RESTOptionsGetter) (*REST, *generic.StatusREST, *LogREST, error) {
	strategy := newStrategy(config.Scheme)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.Conversation{} },
		NewListFunc:               func() runtime.Object { return &v1.ConversationList{} },
		DefaultQualifiedResource:  v1.Resource("conversations"),
		SingularQualifiedResource: v1.Resource("conversation"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.Conversations(),
	}
	r := &REST{store, config.Authorizer, config.Logs}
	options = generic.Wrapped(options, func(inner storage.Interface, prefix string) storage.Interface {
		return &forkStorage{Interface: generic.NameTooLarge(inner, prefix), logs: config.Logs, source: r.source}
	})
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: options, AttrFunc: generic.Attrs(v1.ConversationFields)}); err != nil {
		return nil, nil, nil, err
	}
	return r,
		generic.NewStatusREST(store, newStatusStrategy(strategy)),
		&LogREST{conversations: r, logs: config.Logs, streams: config.Streams},
		nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"conv"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes a conversation.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.Store.Create(ctx, obj, generic.OnCreate(createValidation, r.mayFork), options)
}

// Update changes a conversation, or makes the one that server-side apply finds
// missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return generic.UpdateOrCreate(ctx, r, r.Store.Update, r.DefaultQualifiedResource, name, objInfo, createValidation, updateValidation, forceAllowCreate, options)
}

// mayFork asks for the verb use on the source before it tells whether the
// source exists.
func (r *REST) mayFork(ctx context.Context, obj runtime.Object) error {
	fork := obj.(*v1.Conversation)
	if fork.Spec.ForkFrom == nil {
		return nil
	}
	err := access.Require(ctx, r.authorizer, r.DefaultQualifiedResource, fork.Name,
		access.Use(field.NewPath("spec", "forkFrom", "conversation"), v1.SchemeGroupVersion.WithResource("conversations"), fork.Namespace, fork.Spec.ForkFrom.Conversation))
	if err != nil {
		return err
	}
	_, err = r.source(ctx, fork)
	return err
}
