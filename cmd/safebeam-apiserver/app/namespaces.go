// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// namespaceRetry is how soon a namespace that is going is looked at again. A
// turn that was admitted just before may come just after.
const namespaceRetry = 5 * time.Second

// namespaces ends the turns of namespaces that are being deleted. A cluster
// deletes the pods of a namespace first and everything else when they are
// gone, and the pods of jobs stay for as long as they hold turns.
type namespaces struct {
	informer cache.SharedIndexInformer
	client   versioned.Interface
	broker   *turns.Broker
	loop     *loop.Loop
}

func newNamespaces(cluster informers.SharedInformerFactory, client versioned.Interface, broker *turns.Broker) (*namespaces, error) {
	n := &namespaces{informer: cluster.Core().V1().Namespaces().Informer(), client: client, broker: broker}
	n.loop = loop.New("namespaces", 1, clock.RealClock{}, n.sync)
	enqueue := func(obj any) {
		if namespace := obj.(*corev1.Namespace); namespace.DeletionTimestamp != nil {
			n.loop.Enqueue(cache.ObjectName{Name: namespace.Name})
		}
	}
	_, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
	})
	return n, err
}

// Run works until ctx ends.
func (n *namespaces) Run(ctx context.Context) error { return n.loop.Run(ctx, n.informer.HasSynced) }

func (n *namespaces) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	if _, exists, err := n.informer.GetStore().GetByKey(name.Name); err != nil || !exists {
		return 0, err
	}
	list, err := n.client.TightbeamV1().Turns(name.Name).List(ctx, metav1.ListOptions{
		FieldSelector: fmt.Sprintf("status.phase!=%s,status.phase!=%s,status.phase!=%s", tightbeamv1.TurnSucceeded, tightbeamv1.TurnFailed, tightbeamv1.TurnCancelled),
	})
	if err != nil {
		return 0, err
	}
	var errs []error
	for i := range list.Items {
		if _, err := n.broker.Cancel(ctx, &list.Items[i], "the namespace is being deleted"); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return namespaceRetry, errors.Join(errs...)
}
