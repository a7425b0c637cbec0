// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/runtimeenvironment"
	"safebeam.dev/safebeam/pkg/controller/sandbox"
	"safebeam.dev/safebeam/pkg/controller/ttl"
	"safebeam.dev/safebeam/pkg/controller/warmpool"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// SandboxOptions are what the loops of sandboxes work with.
type SandboxOptions struct {
	// Launcher makes the pods. Nil: this process runs no sandboxes.
	Launcher launcher.SandboxLauncher
	// Recorder tells as events what happens to sandboxes and warm pools. Nil: nobody does.
	Recorder record.EventRecorder
	// LostReason and LostMessage are said of pods that the launcher does not
	// know any more.
	LostReason, LostMessage string
	// Judge says which runtime environments are available.
	Judge runtimeenvironment.Judge
	// OnImage has its argument called when Judge may say something else of the
	// environments of an image. Nil: it never does.
	OnImage func(changed func(image string))
	// Found are the runtime environments that the launcher has of itself, which
	// FoundLabel marks with FoundValue.
	Found                  []llmsafespacev1.RuntimeEnvironment
	FoundLabel, FoundValue string
}

func (c *Controllers) addSandboxes(o Options) error {
	if o.Sandboxes.Launcher == nil {
		return nil
	}
	sandboxes := informers.NewSandboxInformer(o.Client, metav1.NamespaceAll, 0, cache.Indexers{})
	environments := informers.NewRuntimeEnvironmentInformer(o.Client, 0, cache.Indexers{})
	executions := ttl.NewFinishedExecutionInformer(o.Client)
	if err := sandboxes.SetTransform(stripManagedFields); err != nil {
		return err
	}
	loop, err := sandbox.New(sandbox.Options{
		Client: o.Client, Sandboxes: sandboxes, Environments: environments,
		Launcher: o.Sandboxes.Launcher, Bindings: sandbox.NewBindings(o.Client), Clock: o.Clock,
		LostReason: o.Sandboxes.LostReason, LostMessage: o.Sandboxes.LostMessage, Recorder: o.Sandboxes.Recorder,
	})
	if err != nil {
		return fmt.Errorf("controller sandbox: %w", err)
	}
	runtimes, err := runtimeenvironment.New(runtimeenvironment.Options{
		Client: o.Client, Environments: environments, Clock: o.Clock,
		Judge: o.Sandboxes.Judge, Found: o.Sandboxes.Found, Label: o.Sandboxes.FoundLabel, Value: o.Sandboxes.FoundValue,
	})
	if err != nil {
		return fmt.Errorf("controller runtimeenvironment: %w", err)
	}
	if o.Sandboxes.OnImage != nil {
		o.Sandboxes.OnImage(runtimes.EnqueueImage)
	}
	ttlSandboxes, err := ttl.NewSandboxes(o.Client, sandboxes, o.Clock)
	if err != nil {
		return fmt.Errorf("controller ttl-sandboxes: %w", err)
	}
	ttlExecutions, err := ttl.NewExecutions(o.Client, executions, o.Clock)
	if err != nil {
		return fmt.Errorf("controller ttl-executions: %w", err)
	}
	pools := informers.NewWarmPoolInformer(o.Client, metav1.NamespaceAll, 0, cache.Indexers{})
	warmPods := informers.NewWarmPodInformer(o.Client, metav1.NamespaceAll, 0, cache.Indexers{})
	profiles := informers.NewSandboxProfileInformer(o.Client, metav1.NamespaceAll, 0, cache.Indexers{})
	warm, err := warmpool.New(warmpool.Options{
		Client: o.Client, Pools: pools, Pods: warmPods, Sandboxes: sandboxes, Environments: environments, Profiles: profiles,
		Launcher: o.Sandboxes.Launcher, Bindings: warmpool.NewBindings(o.Client), Recorder: o.Sandboxes.Recorder, Clock: o.Clock,
	})
	if err != nil {
		return fmt.Errorf("controller warmpool: %w", err)
	}
	c.launchers = append(c.launchers, o.Sandboxes.Launcher)
	c.informers = append(c.informers, sandboxes, environments, executions, pools, warmPods, profiles)
	c.loops = append(c.loops, loop, runtimes, warm, ttlSandboxes, ttlExecutions)
	return nil
}

// stripManagedFields drops what no loop reads, and every one would keep.
func stripManagedFields(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil { // else a tombstone
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}
