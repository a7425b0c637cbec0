// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/testing"

	llmsafespace "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Of all our kinds it is this one that meta.UnsafeGuessKindToResource gets wrong.
var (
	sandboxes = llmsafespace.SchemeGroupVersion.WithResource("sandboxes")
	guess     = llmsafespace.SchemeGroupVersion.WithResource("sandboxs")
)

// NewObjectTracker is client-go's, for our kinds.
func NewObjectTracker(scheme testing.ObjectScheme, decoder runtime.Decoder) testing.ObjectTracker {
	return renaming{testing.NewObjectTracker(scheme, decoder)}
}

// NewFieldManagedObjectTracker is client-go's, for our kinds.
func NewFieldManagedObjectTracker(scheme *runtime.Scheme, decoder runtime.Decoder, types managedfields.TypeConverter) testing.ObjectTracker {
	return renaming{testing.NewFieldManagedObjectTracker(scheme, decoder, types)}
}

// renaming hands a resource on under the name that the tracker behind it guesses.
type renaming struct{ testing.ObjectTracker }

func guessed(resource schema.GroupVersionResource) schema.GroupVersionResource {
	if resource == sandboxes {
		return guess
	}
	return resource
}

// named is the error with the right name in the guess's place.
func named(err error) error {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Details == nil || status.ErrStatus.Details.Kind != guess.Resource {
		return err
	}
	right := *status.ErrStatus.DeepCopy()
	right.Details.Kind = sandboxes.Resource
	right.Message = strings.Replace(right.Message, guess.GroupResource().String(), sandboxes.GroupResource().String(), 1)
	return &apierrors.StatusError{ErrStatus: right}
}

func (t renaming) Get(resource schema.GroupVersionResource, namespace, name string, options ...metav1.GetOptions) (runtime.Object, error) {
	object, err := t.ObjectTracker.Get(guessed(resource), namespace, name, options...)
	return object, named(err)
}

func (t renaming) Create(resource schema.GroupVersionResource, object runtime.Object, namespace string, options ...metav1.CreateOptions) error {
	return named(t.ObjectTracker.Create(guessed(resource), object, namespace, options...))
}

func (t renaming) Update(resource schema.GroupVersionResource, object runtime.Object, namespace string, options ...metav1.UpdateOptions) error {
	return named(t.ObjectTracker.Update(guessed(resource), object, namespace, options...))
}

func (t renaming) Patch(resource schema.GroupVersionResource, object runtime.Object, namespace string, options ...metav1.PatchOptions) error {
	return named(t.ObjectTracker.Patch(guessed(resource), object, namespace, options...))
}

func (t renaming) Apply(resource schema.GroupVersionResource, configuration runtime.Object, namespace string, options ...metav1.PatchOptions) error {
	return named(t.ObjectTracker.Apply(guessed(resource), configuration, namespace, options...))
}

func (t renaming) List(resource schema.GroupVersionResource, kind schema.GroupVersionKind, namespace string, options ...metav1.ListOptions) (runtime.Object, error) {
	list, err := t.ObjectTracker.List(guessed(resource), kind, namespace, options...)
	return list, named(err)
}

func (t renaming) Delete(resource schema.GroupVersionResource, namespace, name string, options ...metav1.DeleteOptions) error {
	return named(t.ObjectTracker.Delete(guessed(resource), namespace, name, options...))
}

func (t renaming) Watch(resource schema.GroupVersionResource, namespace string, options ...metav1.ListOptions) (watch.Interface, error) {
	return t.ObjectTracker.Watch(guessed(resource), namespace, options...)
}
