// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package runtimeenvironment keeps the status of RuntimeEnvironments: whether
// sandboxes can be made from them. Who knows that is the launcher.
//
// Laws:
//   - The status follows from the object and the launcher's word alone, and is
//     written only where it differs; lastValidated is when it last changed.
//   - What a launcher finds on its own machine is kept as objects of its own,
//     marked by a label; those that somebody else made are left as they are.
package runtimeenvironment

import (
	"context"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

const (
	fieldManager = "safebeam-controller"
	workers      = 1
)

// Judge says whether sandboxes can be made from an environment, and why not.
type Judge func(*llmsafespacev1.RuntimeEnvironment) (available bool, message string)

// Options are what the controller works on.
type Options struct {
	Client versioned.Interface
	// Environments is run by the caller.
	Environments cache.SharedIndexInformer
	Judge        Judge
	// Found are environments that the launcher has of itself; Label marks them,
	// and no other.
	Found        []llmsafespacev1.RuntimeEnvironment
	Label, Value string
	Clock        clock.WithTicker
}

// Controller is the loop.
type Controller struct {
	options Options
	loop    *loop.Loop
}

// New makes the loop and subscribes it to the informer.
func New(o Options) (*Controller, error) {
	c := &Controller{options: o}
	c.loop = loop.New("runtimeenvironment", workers, o.Clock, c.sync)
	enqueue := func(obj any) {
		if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
			c.loop.Enqueue(name)
		}
	}
	_, err := o.Environments.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }, DeleteFunc: enqueue,
	})
	for i := range o.Found {
		c.loop.Enqueue(cache.ObjectName{Name: o.Found[i].Name})
	}
	return c, err
}

// EnqueueImage has the environments of an image be judged anew.
func (c *Controller) EnqueueImage(image string) {
	for _, obj := range c.options.Environments.GetStore().List() {
		if environment := obj.(*llmsafespacev1.RuntimeEnvironment); environment.Spec.Image == image {
			c.loop.Enqueue(cache.ObjectName{Name: environment.Name})
		}
	}
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return c.loop.Run(ctx, c.options.Environments.HasSynced)
}

func (c *Controller) found(name string) *llmsafespacev1.RuntimeEnvironment {
	for i := range c.options.Found {
		if c.options.Found[i].Name == name {
			return &c.options.Found[i]
		}
	}
	return nil
}

func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	environments := c.options.Client.LlmsafespaceV1().RuntimeEnvironments()
	obj, exists, err := c.options.Environments.GetStore().GetByKey(name.Name)
	if err != nil {
		return 0, err
	}
	found := c.found(name.Name)
	if !exists {
		if found == nil {
			return 0, nil
		}
		_, err := environments.Create(ctx, found.DeepCopy(), metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			err = nil // the informer will show it
		}
		return 0, err
	}
	environment := obj.(*llmsafespacev1.RuntimeEnvironment)
	if environment.DeletionTimestamp != nil {
		return 0, nil
	}
	if found != nil && environment.Labels[c.options.Label] == c.options.Value && !apiequality.Semantic.DeepEqual(environment.Spec, found.Spec) {
		changed := environment.DeepCopy()
		changed.Spec = *found.Spec.DeepCopy()
		_, err := environments.Update(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager})
		return 0, err
	}
	available, message := c.options.Judge(environment)
	status := environment.Status
	if status.LastValidated != nil && status.Available == available && status.Message == message && status.ObservedGeneration == environment.Generation {
		return 0, nil
	}
	changed := environment.DeepCopy()
	now := metav1.NewTime(c.options.Clock.Now())
	changed.Status = llmsafespacev1.RuntimeEnvironmentStatus{
		Available: available, Message: message, LastValidated: &now, ObservedGeneration: environment.Generation,
	}
	if _, err := environments.UpdateStatus(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("writing the status of RuntimeEnvironment %s: %w", name.Name, err)
	}
	klog.FromContext(ctx).V(2).Info("Judged a runtime environment", "runtimeEnvironment", name.Name, "available", available, "message", message)
	return 0, nil
}
