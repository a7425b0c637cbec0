// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channel

import (
	"context"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/apis/tightbeam/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{typer, names.SimpleNameGenerator}
}

func (strategy) NamespaceScoped() bool                         { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return true }
func (strategy) Canonicalize(runtime.Object)                   {}

func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetStatus(v1.SchemeGroupVersion)
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	channel := obj.(*v1.TightbeamChannel)
	channel.Status = v1.TightbeamChannelStatus{}
	channel.Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	channel, oldChannel := obj.(*v1.TightbeamChannel), old.(*v1.TightbeamChannel)
	channel.Status = oldChannel.Status
	if !v1.Semantic.DeepEqual(channel.Spec, oldChannel.Spec) {
		channel.Generation = oldChannel.Generation + 1
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.Channel(obj.(*v1.TightbeamChannel))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ChannelUpdate(obj.(*v1.TightbeamChannel), old.(*v1.TightbeamChannel))
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string {
	return []string{notRun}
}

func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return []string{notRun}
}

// notRun is said until the loop of channel jobs exists.
const notRun = "this version stores channels and does not run their jobs yet: nothing connects to the platform"

// statusStrategy writes the status and nothing else.
type statusStrategy struct{ strategy }

func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return generic.ResetSpec(v1.SchemeGroupVersion)
}

func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	channel, oldChannel := obj.(*v1.TightbeamChannel), old.(*v1.TightbeamChannel)
	generic.KeepMeta(&channel.ObjectMeta, &oldChannel.ObjectMeta)
	channel.Spec = oldChannel.Spec
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ChannelStatusUpdate(obj.(*v1.TightbeamChannel), old.(*v1.TightbeamChannel))
}

func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetAttrs is what selectors see of a channel.
func GetAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	channel, ok := obj.(*v1.TightbeamChannel)
	if !ok {
		return nil, nil, generic.NotA("TightbeamChannel", obj)
	}
	return channel.Labels, v1.ChannelFields(channel), nil
}
