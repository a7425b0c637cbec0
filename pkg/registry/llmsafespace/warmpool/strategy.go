// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/reference"
)

type strategy struct {
	generic.Strategy
	limits     validation.Limits
	references reference.Reader
}

func newStrategy(typer runtime.ObjectTyper, limits validation.Limits, references reference.Reader) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion), limits, references}
}

// PrepareForCreate completes the pool by its profile, as far as that is there;
// Validate says so where it is not.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	object := obj.(*v1.WarmPool)
	object.Generation = 1
	object.Status = v1.WarmPoolStatus{}
	policy.ApplyPool(s.look(ctx, object).ProfileSpec(), &object.Spec)
}

// look reads the profile that the pool names. Its runtime is looked for by its
// loop, at all times: what is not there now may come.
func (s strategy) look(ctx context.Context, pool *v1.WarmPool) *reference.Seen {
	seen := &reference.Seen{}
	s.references.Profile(ctx, seen, pool.Namespace, pool.Spec.ProfileRef, field.NewPath("spec", "profileRef"))
	return seen
}

func (s strategy) held(ctx context.Context, pool *v1.WarmPool) field.ErrorList {
	seen := s.look(ctx, pool)
	return append(seen.Errors, policy.HeldPool(seen.ProfileSpec(), &pool.Spec, field.NewPath("spec"))...)
}

func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	object, oldObject := obj.(*v1.WarmPool), old.(*v1.WarmPool)
	object.Status = oldObject.Status
	policy.ApplyPool(s.look(ctx, object).ProfileSpec(), &object.Spec)
	if !apiequality.Semantic.DeepEqual(object.Spec, oldObject.Spec) {
		object.Generation = oldObject.Generation + 1
	}
}

func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	pool := obj.(*v1.WarmPool)
	return append(validation.WarmPool(pool, s.limits), s.held(ctx, pool)...)
}

func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	pool, oldPool := obj.(*v1.WarmPool), old.(*v1.WarmPool)
	errs := validation.WarmPoolUpdate(pool, oldPool, s.limits)
	if pool.Generation == oldPool.Generation {
		return errs // a profile that has gone since holds up no change of the metadata
	}
	return append(errs, s.held(ctx, pool)...)
}

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(object, old *v1.WarmPool) { object.Spec = old.Spec }, validation.WarmPoolStatusUpdate)
}
