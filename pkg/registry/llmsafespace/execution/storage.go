// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/apis/llmsafespace/printing"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme *runtime.Scheme
	// Sandboxes reads what executions name.
	Sandboxes rest.Getter
	// Language is that of a sandbox's runtime.
	Language func(ctx context.Context, sandbox *v1.Sandbox) (string, error)
	// Languages tells whether code of a language can be run, and if not, of
	// which it can.
	Languages func(language string) (known bool, there []string)
	// WrapStorage puts something around the storage of executions, which are
	// kept below prefix; it lies below the dry-run layer. May be nil.
	WrapStorage func(inner storage.Interface, prefix string) storage.Interface
	Events      Events
	Canceller   Canceller
	Streams     *stream.Server
}

// REST serves executions.
type REST struct{ *registry.Store }

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.ShortNamesProvider = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// Storages are those of executions and of their subresources.
type Storages struct {
	Execution *REST
	Status    *generic.StatusREST
	Log       *LogREST
	Cancel    *CancelREST
}

// NewStorages returns the storages of executions.
func NewStorages(config Config, options genericregistry.RESTOptionsGetter) (*Storages, error) {
	strategy := newStrategy(config.Scheme, related{config.Sandboxes, config.Language, config.Languages})
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.Execution{} },
		NewListFunc:               func() runtime.Object { return &v1.ExecutionList{} },
		DefaultQualifiedResource:  v1.Resource("executions"),
		SingularQualifiedResource: v1.Resource("execution"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.Executions(),
	}
	options = generic.Wrapped(options, func(inner storage.Interface, prefix string) storage.Interface {
		inner = generic.NameTooLarge(inner, prefix)
		if config.WrapStorage != nil {
			inner = config.WrapStorage(inner, prefix)
		}
		return inner
	})
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: options, AttrFunc: generic.Attrs(v1.ExecutionFields), Indexers: generic.IndexedBy("spec.sandbox", sandboxOf)}); err != nil {
		return nil, err
	}
	executions := &REST{store}
	return &Storages{
		Execution: executions,
		Status:    generic.NewStatusREST(store, newStatusStrategy(strategy)),
		Log:       &LogREST{executions: executions, events: config.Events, streams: config.Streams},
		Cancel:    newCancelREST(executions, config.Canceller),
	}, nil
}

// sandboxOf is by what executions are looked for most.
func sandboxOf(execution *v1.Execution) string { return execution.Spec.Sandbox }

// ShortNames are what people type.
func (*REST) ShortNames() []string { return []string{"exe"} }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes an execution.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.Store.Create(remembering(ctx), obj, createValidation, options)
}

// Update changes the metadata of an execution, or makes the one that
// server-side apply finds missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return generic.UpdateOrCreate(ctx, r, r.Store.Update, r.DefaultQualifiedResource, name, objInfo, createValidation, updateValidation, forceAllowCreate, options)
}
