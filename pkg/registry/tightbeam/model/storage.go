// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package model

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
	Launcher   Launcher
}

// REST serves models.
type REST struct {
	*registry.Store
	authorizer authorizer.Authorizer
}

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// NewREST returns the storages of models and of their status.
func NewREST(config Config, options genericregistry.RESTOptionsGetter) (*REST, *generic.StatusREST, error) {
	strategy := newStrategy(config.Scheme, config.Launcher)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.TightbeamModel{} },
		NewListFunc:               func() runtime.Object { return &v1.TightbeamModelList{} },
		DefaultQualifiedResource:  v1.Resource("tightbeammodels"),
		SingularQualifiedResource: v1.Resource("tightbeammodel"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.Models(),
	}
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: generic.Wrapped(options, generic.NameTooLarge), AttrFunc: generic.Attrs(v1.ModelFields)}); err != nil {
		return nil, nil, err
	}
	return &REST{store, config.Authorizer}, generic.NewStatusREST(store, newStatusStrategy(strategy)), nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"tbm"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes a model.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.Store.Create(ctx, obj, generic.OnCreate(createValidation, r.mayUse), options)
}

// Update changes a model, or makes the one that server-side apply finds
// missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.Store.Update(ctx, name, objInfo,
		generic.OnCreate(createValidation, r.mayUse),
		generic.OnUpdate(updateValidation, func(ctx context.Context, obj, old runtime.Object) error {
			// Any change of the spec counts: another baseURL sends the key
			// elsewhere. Labels and the like do not.
			if obj.(*v1.TightbeamModel).Generation == old.(*v1.TightbeamModel).Generation {
				return nil
			}
			return r.mayUse(ctx, obj)
		}), forceAllowCreate, options)
}

// mayUse asks for what the model spends: its own Secret, and the models that
// its turns fall back to. Whoever may use this model is not asked for those.
func (r *REST) mayUse(ctx context.Context, obj runtime.Object) error {
	model := obj.(*v1.TightbeamModel)
	path := field.NewPath("spec")
	var wishes []access.Wish
	if model.Spec.SecretName != "" {
		wishes = append(wishes, access.GetSecret(path.Child("secretName"), model.Namespace, model.Spec.SecretName))
	}
	for i, fallback := range model.Spec.Fallbacks {
		wishes = append(wishes, access.Use(path.Child("fallbacks").Index(i), v1.SchemeGroupVersion.WithResource("tightbeammodels"), model.Namespace, fallback.Name))
	}
	return access.Require(ctx, r.authorizer, r.DefaultQualifiedResource, model.Name, wishes...)
}
