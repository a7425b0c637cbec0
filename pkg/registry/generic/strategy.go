// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Strategy is what a resource's strategy is, unless it says otherwise. What has
// to do with the objects themselves (preparing, validating) is each one's own.
type Strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	version schema.GroupVersion
}

// NewStrategy returns that of a resource of this version.
func NewStrategy(typer runtime.ObjectTyper, version schema.GroupVersion) Strategy {
	return Strategy{typer, names.SimpleNameGenerator, version}
}

// NamespaceScoped says that objects are in namespaces.
func (Strategy) NamespaceScoped() bool { return true }

// AllowCreateOnUpdate says that a PUT of what is not there is a 404.
func (Strategy) AllowCreateOnUpdate(context.Context) bool { return false }

// AllowUnconditionalUpdate lets an update leave out the resource version.
func (Strategy) AllowUnconditionalUpdate(context.Context) bool { return true }

// Canonicalize changes nothing.
func (Strategy) Canonicalize(runtime.Object) {}

// GetResetFields are the fields that a write of the object cannot own.
func (s Strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetStatus(s.version)
}

// WarningsOnCreate has none.
func (Strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate has none.
func (Strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// object is a kind of the API, by its pointer.
type object interface {
	runtime.Object
	metav1.ObjectMetaAccessor
}

type statusStrategy[T object] struct {
	rest.RESTUpdateStrategy
	version  schema.GroupVersion
	keep     func(obj, old T)
	validate func(obj, old T) field.ErrorList
}

// NewStatusStrategy returns a strategy that writes the status and nothing else.
// In what is not about the object it is the resource's own; keep takes over all
// of the old object that is neither metadata nor status.
func NewStatusStrategy[T object](of rest.RESTUpdateStrategy, version schema.GroupVersion, keep func(obj, old T), validate func(obj, old T) field.ErrorList) StatusStrategy {
	return statusStrategy[T]{of, version, keep, validate}
}

func (s statusStrategy[T]) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetSpec(s.version)
}

func (s statusStrategy[T]) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(T), old.(T)
	keepMeta(object.GetObjectMeta().(*metav1.ObjectMeta), oldObject.GetObjectMeta().(*metav1.ObjectMeta))
	s.keep(object, oldObject)
}

func (s statusStrategy[T]) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return s.validate(obj.(T), old.(T))
}

func (statusStrategy[T]) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
