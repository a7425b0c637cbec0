// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channel

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/tightbeam/printing"
	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/access"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme     *runtime.Scheme
	Authorizer authorizer.Authorizer
}

// REST serves channels.
type REST struct {
	*registry.Store
	authorizer authorizer.Authorizer
}

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// NewREST returns the storages of channels and of their status.
func NewREST(config Config, options genericregistry.RESTOptionsGetter) (*REST, *generic.StatusREST, error) {
	strategy := newStrategy(config.Scheme)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.TightbeamChannel{} },
		NewListFunc:               func() runtime.Object { return &v1.TightbeamChannelList{} },
		DefaultQualifiedResource:  v1.Resource("tightbeamchannels"),
		SingularQualifiedResource: v1.Resource("tightbeamchannel"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.Channels(),
	}
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: generic.Wrapped(options, generic.NameTooLarge), AttrFunc: generic.Attrs(v1.ChannelFields)}); err != nil {
		return nil, nil, err
	}
	return &REST{store, config.Authorizer}, generic.NewStatusREST(store, newStatusStrategy(strategy)), nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"tbc"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes a channel.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.Store.Create(ctx, obj, generic.OnCreate(createValidation, r.mayUseSecret), options)
}

// Update changes a channel, or makes the one that server-side apply finds
// missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.Store.Update(ctx, name, objInfo,
		generic.OnCreate(createValidation, r.mayUseSecret),
		generic.OnUpdate(updateValidation, func(ctx context.Context, obj, old runtime.Object) error {
			// Any change of the spec counts: another list of senders puts the
			// token to another use. Labels and the like do not.
			if obj.(*v1.TightbeamChannel).Generation == old.(*v1.TightbeamChannel).Generation {
				return nil
			}
			return r.mayUseSecret(ctx, obj)
		}), forceAllowCreate, options)
}

func (r *REST) mayUseSecret(ctx context.Context, obj runtime.Object) error {
	channel := obj.(*v1.TightbeamChannel)
	return access.Require(ctx, r.authorizer, r.DefaultQualifiedResource, channel.Name,
		access.GetSecret(field.NewPath("spec", "secretName"), channel.Namespace, channel.Spec.SecretName))
}
