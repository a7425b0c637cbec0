// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Upserter is the part of a REST storage that CreateByApply needs.
type Upserter interface {
	New() runtime.Object
	Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error)
}

// UpdateFunc is rest.Updater's Update.
type UpdateFunc func(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error)

// UpdateOrCreate is the Update of a resource whose creation does more than
// store the object. The generic store makes an object that server-side apply
// finds missing inside its GuaranteedUpdate, past Create and past
// storage.Interface's Create; here it goes through both, as a POST does.
func UpdateOrCreate(ctx context.Context, to Upserter, update UpdateFunc, resource schema.GroupResource, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	// Two turns: whoever loses the race to create updates, and whoever loses
	// against a deletion then is told so.
	for attempt := 0; ; attempt++ {
		obj, created, err := update(ctx, name, objInfo, createValidation, updateValidation, false, options)
		if !forceAllowCreate || !isMissing(err, resource, name) {
			return obj, created, err
		}
		obj, err = create(ctx, to, resource, name, objInfo, createValidation, options)
		if !apierrors.IsAlreadyExists(err) || attempt > 0 {
			return obj, err == nil, err
		}
	}
}

func create(ctx context.Context, to Upserter, resource schema.GroupResource, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, options *metav1.UpdateOptions) (runtime.Object, error) {
	obj, err := objInfo.UpdatedObject(ctx, to.New())
	if err != nil {
		return nil, err
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	// Who names a version or a UID means an object that was there.
	wanted := objInfo.Preconditions()
	if accessor.GetResourceVersion() != "" || accessor.GetUID() != "" || (wanted != nil && (wanted.UID != nil || wanted.ResourceVersion != nil)) {
		return nil, apierrors.NewConflict(resource, name, errors.New("the object does not exist; leave out metadata.uid and metadata.resourceVersion to make it"))
	}
	rest.WipeObjectMetaSystemFields(accessor)
	return to.Create(ctx, obj, createValidation, &metav1.CreateOptions{
		DryRun:          options.DryRun,
		FieldManager:    options.FieldManager,
		FieldValidation: options.FieldValidation,
	})
}

// isMissing tells the absence of the object itself from other 404s.
func isMissing(err error, resource schema.GroupResource, name string) bool {
	if !apierrors.IsNotFound(err) {
		return false
	}
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Details == nil {
		return false
	}
	return status.Status().Details.Name == name && status.Status().Details.Kind == resource.Resource
}
