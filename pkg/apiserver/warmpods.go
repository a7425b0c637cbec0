// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/warmpod"
	"safebeam.dev/safebeam/pkg/gateway/executions"
	"safebeam.dev/safebeam/pkg/gateway/warmpods"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/llmsafespace/v1"
)

// warm is what binds warm pods to sandboxes, and what makes them Ready.
type warm struct {
	shelf   *warmpods.Shelf
	objects warmpods.Objects
	metrics *warmpods.Metrics
	claimer *warmpods.Claimer
	// asked is told of the pools that sandboxes asked; set before any does.
	asked func(types.NamespacedName)
}

// newWarm makes the allocator. The storage of sandboxes is not made yet: it is
// wrapped by it.
func newWarm(s *SandboxStorages) *warm {
	w := &warm{asked: func(types.NamespacedName) {}}
	w.shelf = warmpods.NewShelf(clock.RealClock{}, func(pool types.NamespacedName) { w.asked(pool) })
	w.objects = warmpods.NewObjects(s.WarmPods.Store)
	w.metrics = warmpods.NewMetrics(w.shelf)
	w.claimer = warmpods.New(warmpods.Options{
		Shelf: w.shelf, Objects: w.objects, Bindings: s.Bindings, Live: s.Live, Metrics: w.metrics, Clock: clock.RealClock{},
		Sandbox: func(ctx context.Context, namespace, name string) (*llmsafespacev1.Sandbox, error) {
			return reader[*llmsafespacev1.Sandbox](s.Sandboxes.Sandbox)(ctx, namespace, name)
		},
	})
	return w
}

// add has the loops run beside the server.
func (w *warm) add(server *Server, s *SandboxStorages, config *rest.Config) error {
	client, err := server.Storages.NewClient(config)
	if err != nil {
		return err
	}
	pools := informers.NewWarmPoolInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	pods := informers.NewWarmPodInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	environments := informers.NewRuntimeEnvironmentInformer(client, 0, cache.Indexers{})
	profiles := informers.NewSandboxProfileInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	readiness, err := warmpod.New(warmpod.Options{
		Client: client, Pools: pools, Pods: pods, Environments: environments, Profiles: profiles,
		Shelf: w.shelf, Objects: w.objects, Metrics: w.metrics, Binding: s.Bindings.ByOwner, Connection: s.Live.Connection,
		Interpreter: executions.FromStdin, Clock: clock.RealClock{},
	})
	if err != nil {
		return err
	}
	w.asked = readiness.Asked
	s.Live.OnWarmPod(readiness.Connected)
	server.GenericAPIServer.RegisterDestroyFunc(w.metrics.Expose())
	server.Add(Component{Name: "warm pod claims", Recover: w.claimer.Recover, Run: w.claimer.Run})
	server.Add(Component{Name: "warm pods", Client: true, Run: func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, informer := range []cache.SharedIndexInformer{pools, pods, environments, profiles} {
			group.Go(func() error {
				informer.RunWithContext(ctx)
				return nil
			})
		}
		group.Go(func() error { return readiness.Run(ctx) })
		return group.Wait()
	}})
	return nil
}
