// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/llmsafespace/printing"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme *runtime.Scheme
	// Limits are the largest resources that the server gives.
	Limits validation.Limits
}

// REST serves profiles.
type REST struct{ *registry.Store }

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// NewREST returns the storage of profiles.
func NewREST(config Config, options genericregistry.RESTOptionsGetter) (*REST, error) {
	strategy := newStrategy(config.Scheme, config.Limits)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.SandboxProfile{} },
		NewListFunc:               func() runtime.Object { return &v1.SandboxProfileList{} },
		DefaultQualifiedResource:  v1.Resource("sandboxprofiles"),
		SingularQualifiedResource: v1.Resource("sandboxprofile"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.SandboxProfiles(),
	}
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: generic.Wrapped(options, generic.NameTooLarge), AttrFunc: generic.Attrs(v1.SandboxProfileFields)}); err != nil {
		return nil, err
	}
	return &REST{store}, nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"sbp"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }
