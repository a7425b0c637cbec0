// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/apis/llmsafespace/printing"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/reference"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme     *runtime.Scheme
	Authorizer authorizer.Authorizer
	// Limits are the largest resources that the server gives.
	Limits validation.Limits
	// Environments and Profiles read what sandboxes name.
	Environments rest.Lister
	Profiles     rest.Getter
	// Shortfalls are what the launcher cannot honour of a specification, as far as
	// that is known beforehand: its creator is warned. Nil: nothing.
	Shortfalls func(*v1.SandboxSpec) []string
	// WrapStorage puts the claim of warm pods around the storage of sandboxes,
	// which are kept below prefix. It lies below the dry-run layer. Nil: every
	// sandbox is made cold.
	WrapStorage func(inner storage.Interface, prefix string) storage.Interface
	// Acquirer hands out what exec and files work on.
	Acquirer Acquirer
	Streams  *stream.Server
	// Meter is told what goes through exec and files. Nil: nobody is.
	Meter Meter
}

// REST serves sandboxes.
type REST struct {
	*registry.Store
	references reference.Reader
}

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// Storages are those of sandboxes and of their subresources.
type Storages struct {
	Sandbox *REST
	Status  *generic.StatusREST
	Exec    *ExecREST
	Files   *FilesREST
}

// NewStorages returns the storages of sandboxes.
func NewStorages(config Config, options genericregistry.RESTOptionsGetter) (*Storages, error) {
	references := reference.Reader{Environments: config.Environments, Profiles: config.Profiles, Authorizer: config.Authorizer}
	strategy := newStrategy(config.Scheme, config.Limits, references, config.Shortfalls)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.Sandbox{} },
		NewListFunc:               func() runtime.Object { return &v1.SandboxList{} },
		DefaultQualifiedResource:  v1.Resource("sandboxes"),
		SingularQualifiedResource: v1.Resource("sandbox"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.Sandboxes(),
	}
	options = generic.Wrapped(options, func(inner storage.Interface, prefix string) storage.Interface {
		inner = generic.NameTooLarge(inner, prefix)
		if config.WrapStorage != nil {
			inner = config.WrapStorage(inner, prefix)
		}
		return inner
	})
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: options, AttrFunc: generic.Attrs(v1.SandboxFields)}); err != nil {
		return nil, err
	}
	sandboxes := &REST{store, references}
	connected := connected{sandboxes, config.Acquirer}
	if config.Meter == nil {
		config.Meter = unmetered{}
	}
	return &Storages{
		Sandbox: sandboxes,
		Status:  generic.NewStatusREST(store, newStatusStrategy(strategy)),
		Exec:    &ExecREST{connected, config.Authorizer, config.Streams, config.Meter},
		Files:   &FilesREST{connected, config.Streams, config.Meter},
	}, nil
}

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"sb"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes a sandbox.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	sandbox := obj.(*v1.Sandbox)
	if err := r.references.MayUse(ctx, r.DefaultQualifiedResource, sandbox.Name, sandbox.Namespace, sandbox.Spec.ProfileRef, specPath.Child("profileRef")); err != nil {
		return nil, err
	}
	return r.Store.Create(remembering(ctx), sandbox, createValidation, options)
}

// Update changes a sandbox, or makes the one that server-side apply finds
// missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return generic.UpdateOrCreate(ctx, r, r.Store.Update, r.DefaultQualifiedResource, name, objInfo, createValidation, updateValidation, forceAllowCreate, options)
}
