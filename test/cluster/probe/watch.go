// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/generated/informers/externalversions"
)

// watch is an ordinary client in a pod: its ServiceAccount, our clientset and
// informers, everything else as client-go has it.
func watch(arguments []string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	config.UserAgent = "e2e-probe"
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := externalversions.NewSharedInformerFactoryWithOptions(client, 0, externalversions.WithNamespace(arguments[0]))
	group := factory.Tightbeam().V1()
	for resource, informer := range map[string]cache.SharedIndexInformer{
		"tightbeammodels":   group.TightbeamModels().Informer(),
		"tightbeamchannels": group.TightbeamChannels().Informer(),
		"conversations":     group.Conversations().Informer(),
		"turns":             group.Turns().Informer(),
	} {
		say := func(event string) func(any) {
			return func(obj any) {
				if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
					fmt.Println(event, resource, name.Name)
				}
			}
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: say("added"), DeleteFunc: say("deleted")}); err != nil {
			return err
		}
	}
	ctx := context.Background()
	factory.StartWithContext(ctx)
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		fmt.Println("synced", kind, synced)
	}
	<-ctx.Done()
	return nil
}
