// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channel

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/apis/tightbeam/validation"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

type strategy struct {
	generic.Strategy
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{generic.NewStrategy(typer, v1.SchemeGroupVersion)}
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

// newStatusStrategy returns the one that writes the status and nothing else.
func newStatusStrategy(of strategy) generic.StatusStrategy {
	return generic.NewStatusStrategy(of, v1.SchemeGroupVersion,
		func(channel, old *v1.TightbeamChannel) { channel.Spec = old.Spec }, validation.ChannelStatusUpdate)
}
