// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/llmsafespace/printing"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/access"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/reference"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme *runtime.Scheme
	// Limits are the largest resources that the server gives.
	Limits validation.Limits
	// Profiles reads what pools name.
	Profiles   rest.Getter
	Authorizer authorizer.Authorizer
}

// REST serves warm pools.
type REST struct {
	*registry.Store
	references reference.Reader
}

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// NewREST returns the storages of warm pools and of their status.
func NewREST(config Config, options genericregistry.RESTOptionsGetter) (*REST, *generic.StatusREST, error) {
	references := reference.Reader{Profiles: config.Profiles, Authorizer: config.Authorizer}
	strategy := newStrategy(config.Scheme, config.Limits, references)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.WarmPool{} },
		NewListFunc:               func() runtime.Object { return &v1.WarmPoolList{} },
		DefaultQualifiedResource:  v1.Resource("warmpools"),
		SingularQualifiedResource: v1.Resource("warmpool"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.WarmPools(),
	}
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: generic.Wrapped(options, generic.NameTooLarge), AttrFunc: generic.Attrs(v1.WarmPoolFields)}); err != nil {
		return nil, nil, err
	}
	return &REST{store, references}, generic.NewStatusREST(store, newStatusStrategy(strategy)), nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"wp"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes a pool.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	if err := r.mayUse(ctx, obj); err != nil {
		return nil, err
	}
	return r.Store.Create(ctx, obj, generic.OnCreate(createValidation, r.mayOffer), options)
}

// Update changes a pool, or makes the one that server-side apply finds missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return generic.UpdateOrCreate(ctx, r, r.Store.Update, r.DefaultQualifiedResource, name, objInfo, createValidation,
		generic.OnUpdate(updateValidation, func(ctx context.Context, obj, old runtime.Object) error {
			// What is being deleted gives nobody a pod any more.
			if pool := obj.(*v1.WarmPool); pool.Generation == old.(*v1.WarmPool).Generation || pool.DeletionTimestamp != nil {
				return nil
			}
			if err := r.mayUse(ctx, obj); err != nil {
				return err
			}
			return r.mayOffer(ctx, obj)
		}), forceAllowCreate, options)
}

func (r *REST) mayUse(ctx context.Context, obj runtime.Object) error {
	pool := obj.(*v1.WarmPool)
	return r.references.MayUse(ctx, r.DefaultQualifiedResource, pool.Name, pool.Namespace, pool.Spec.ProfileRef, field.NewPath("spec", "profileRef"))
}

// mayOffer asks for the right to make pools in every namespace that the pool is
// offered to. Sandboxes of those take its pods unasked, and whoever holds the
// pool's namespace, or writes what its pods preload, holds those sandboxes.
func (r *REST) mayOffer(ctx context.Context, obj runtime.Object) error {
	pool := obj.(*v1.WarmPool)
	var wishes []access.Wish
	for i, namespace := range pool.Spec.AllowedNamespaces {
		if namespace != pool.Namespace {
			wishes = append(wishes, access.Wish{
				Field: field.NewPath("spec", "allowedNamespaces").Index(i), Verb: "create",
				Resource: v1.SchemeGroupVersion.WithResource("warmpools"), Namespace: namespace,
			})
		}
	}
	return access.Require(ctx, r.references.Authorizer, r.DefaultQualifiedResource, pool.Name, wishes...)
}
