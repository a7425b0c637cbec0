// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	llmsafespaceclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/llmsafespace/v1"
)

// What changes with every sandbox; runtime environments and profiles hardly ever do.

func (c watching) LlmsafespaceV1() llmsafespaceclient.LlmsafespaceV1Interface {
	return watchingLlmsafespace{c.Interface.LlmsafespaceV1(), c.storages.Sandboxes}
}

type watchingLlmsafespace struct {
	llmsafespaceclient.LlmsafespaceV1Interface
	storages *SandboxStorages
}

func (c watchingLlmsafespace) Sandboxes(namespace string) llmsafespaceclient.SandboxInterface {
	return watchingSandboxes{c.LlmsafespaceV1Interface.Sandboxes(namespace), watches{c.storages.Sandboxes.Sandbox, namespace}}
}

func (c watchingLlmsafespace) Executions(namespace string) llmsafespaceclient.ExecutionInterface {
	return watchingExecutions{c.LlmsafespaceV1Interface.Executions(namespace), watches{c.storages.Executions.Execution, namespace}}
}

func (c watchingLlmsafespace) WarmPools(namespace string) llmsafespaceclient.WarmPoolInterface {
	return watchingWarmPools{c.LlmsafespaceV1Interface.WarmPools(namespace), watches{c.storages.WarmPools, namespace}}
}

func (c watchingLlmsafespace) WarmPods(namespace string) llmsafespaceclient.WarmPodInterface {
	return watchingWarmPods{c.LlmsafespaceV1Interface.WarmPods(namespace), watches{c.storages.WarmPods, namespace}}
}

type watchingSandboxes struct {
	llmsafespaceclient.SandboxInterface
	watches watches
}

func (c watchingSandboxes) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}

type watchingExecutions struct {
	llmsafespaceclient.ExecutionInterface
	watches watches
}

func (c watchingExecutions) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}

type watchingWarmPools struct {
	llmsafespaceclient.WarmPoolInterface
	watches watches
}

func (c watchingWarmPools) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}

type watchingWarmPods struct {
	llmsafespaceclient.WarmPodInterface
	watches watches
}

func (c watchingWarmPods) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return c.watches.watch(ctx, options)
}
