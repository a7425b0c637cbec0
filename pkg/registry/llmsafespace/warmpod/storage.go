// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/llmsafespace/printing"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme *runtime.Scheme
}

// REST serves warm pods.
type REST struct{ *registry.Store }

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// NewREST returns the storages of warm pods and of their status.
func NewREST(config Config, options genericregistry.RESTOptionsGetter) (*REST, *generic.StatusREST, error) {
	strategy := newStrategy(config.Scheme)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.WarmPod{} },
		NewListFunc:               func() runtime.Object { return &v1.WarmPodList{} },
		DefaultQualifiedResource:  v1.Resource("warmpods"),
		SingularQualifiedResource: v1.Resource("warmpod"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.WarmPods(),
	}
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: generic.Wrapped(options, generic.NameTooLarge), AttrFunc: generic.Attrs(v1.WarmPodFields)}); err != nil {
		return nil, nil, err
	}
	return &REST{store}, generic.NewStatusREST(store, newStatusStrategy(strategy)), nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"wpod"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }
