// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Replicas of a scale are spec.minSize: the unused pods that are kept ready. A
// pod that a sandbox has is none of them any more.
var replicas = managedfields.ResourcePathMappings{
	v1.SchemeGroupVersion.String(): fieldpath.MakePathOrDie("spec", "minSize"),
}

// ScaleREST serves the subresource scale: kubectl scale and autoscalers.
type ScaleREST struct{ store *registry.Store }

var (
	_ rest.Patcher                  = &ScaleREST{}
	_ rest.GroupVersionKindProvider = &ScaleREST{}
)

// NewScaleREST shares the store of the pools.
func NewScaleREST(pools *REST) *ScaleREST { return &ScaleREST{pools.Store} }

// GroupVersionKind is that of the body.
func (*ScaleREST) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return autoscalingv1.SchemeGroupVersion.WithKind("Scale")
}

// New is an empty scale.
func (*ScaleREST) New() runtime.Object { return &autoscalingv1.Scale{} }

// Destroy does nothing: the storage is the pools', and goes with it.
func (*ScaleREST) Destroy() {}

// Get reads the scale of a pool.
func (r *ScaleREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.store.Get(ctx, name, options)
	if err != nil {
		return nil, err
	}
	return scaleOf(obj.(*v1.WarmPool))
}

// Update sets the size of a pool. It never creates one.
func (r *ScaleREST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, _ rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	var validate rest.ValidateObjectUpdateFunc
	if updateValidation != nil {
		validate = func(ctx context.Context, obj, old runtime.Object) error {
			scale, err := scaleOf(obj.(*v1.WarmPool))
			if err != nil {
				return err
			}
			oldScale, err := scaleOf(old.(*v1.WarmPool))
			if err != nil {
				return err
			}
			return updateValidation(ctx, scale, oldScale)
		}
	}
	obj, _, err := r.store.Update(ctx, name, scaled{objInfo}, nil, validate, false, options)
	if err != nil {
		return nil, false, err
	}
	scale, err := scaleOf(obj.(*v1.WarmPool))
	return scale, false, err
}

// GetResetFields are those that a write cannot own.
func (*ScaleREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(autoscalingv1.SchemeGroupVersion.String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status")),
	}
}

// ConvertToTable prints the scale.
func (r *ScaleREST) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return rest.NewDefaultTableConvertor(v1.Resource("warmpools")).ConvertToTable(ctx, object, options)
}

func scaleOf(pool *v1.WarmPool) (*autoscalingv1.Scale, error) {
	fields, err := managedfields.NewScaleHandler(pool.ManagedFields, v1.SchemeGroupVersion, replicas).ToSubresource()
	if err != nil {
		return nil, err
	}
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: pool.Name, Namespace: pool.Namespace, UID: pool.UID, ResourceVersion: pool.ResourceVersion,
			CreationTimestamp: pool.CreationTimestamp, ManagedFields: fields,
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: pool.Spec.MinSize},
		Status: autoscalingv1.ScaleStatus{Replicas: pool.Status.AvailablePods + pool.Status.PendingPods, Selector: pool.Status.Selector},
	}, nil
}

// scaled is the pool with the size of the scale that is written.
type scaled struct{ rest.UpdatedObjectInfo }

// UpdatedObject implements rest.UpdatedObjectInfo.
func (s scaled) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	pool, ok := old.DeepCopyObject().(*v1.WarmPool)
	if !ok {
		return nil, fmt.Errorf("%T is no WarmPool", old)
	}
	if pool.UID == "" {
		return nil, apierrors.NewNotFound(v1.Resource("warmpools/scale"), pool.Name)
	}
	oldScale, err := scaleOf(pool)
	if err != nil {
		return nil, err
	}
	obj, err := s.UpdatedObjectInfo.UpdatedObject(ctx, oldScale)
	if err != nil {
		return nil, err
	}
	scale, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the body is %T, not a Scale", obj))
	}
	if scale.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), pool.Name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas, "must not be negative"),
		})
	}
	if scale.UID != "" && scale.UID != pool.UID {
		return nil, apierrors.NewConflict(v1.Resource("warmpools/scale"), pool.Name, fmt.Errorf("the pool has the UID %s, the scale is of the one with %s", pool.UID, scale.UID))
	}
	fields, err := managedfields.NewScaleHandler(pool.ManagedFields, v1.SchemeGroupVersion, replicas).ToParent(scale.ManagedFields)
	if err != nil {
		return nil, err
	}
	pool.Spec.MinSize, pool.ResourceVersion, pool.ManagedFields = scale.Spec.Replicas, scale.ResourceVersion, fields
	return pool, nil
}
