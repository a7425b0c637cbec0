// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	clientset "k8s.io/client-go/kubernetes"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/kubernetessandbox"
)

// sandboxOptions are what the loops of sandboxes work with, if this controller
// runs any; wait waits for what it started, once ctx has ended.
func (o *Options) sandboxOptions(ctx context.Context, cluster clientset.Interface, ca *authority) (options controller.SandboxOptions, wait func(), err error) {
	if o.SandboxdImage == "" {
		return controller.SandboxOptions{}, func() {}, nil
	}
	launcherOptions := o.sandboxes()
	launcherOptions.Client, launcherOptions.GatewayCA = cluster, ca.Bundle
	pods, err := kubernetessandbox.New(ctx, launcherOptions)
	if err != nil {
		if ctx.Err() != nil {
			err = nil // ended before there was anything to do
		}
		return controller.SandboxOptions{}, func() {}, err
	}
	return controller.SandboxOptions{
		Launcher:   pods,
		LostReason: launcher.ReasonPodDeleted, LostMessage: "the pod is gone, and nobody saw how it went",
		Judge: func(environment *llmsafespacev1.RuntimeEnvironment) (bool, string) {
			return pods.Judge(environment.Spec.Image)
		},
		OnImage: pods.OnImage,
	}, pods.Wait, nil
}
