// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/storage"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
)

// Objects are the WarmPods in the store. Their status is written past admission
// and strategy: both are for requests of others, and the laws are kept here.
type Objects struct{ store *registry.Store }

// NewObjects returns the objects of the store of WarmPods.
func NewObjects(store *registry.Store) Objects { return Objects{store} }

// Update changes the status of the WarmPod, by compare-and-swap. change sees what
// is stored, and its error is returned. It is NotFound if that pod is gone.
func (o Objects) Update(ctx context.Context, pod *v1.WarmPod, change func(*v1.WarmPod) error) (*v1.WarmPod, error) {
	ctx = request.WithNamespace(ctx, pod.Namespace)
	key, err := o.store.KeyFunc(ctx, pod.Name)
	if err != nil {
		return nil, err
	}
	updated := &v1.WarmPod{}
	err = o.store.Storage.GuaranteedUpdate(ctx, key, updated, false, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			stored := input.(*v1.WarmPod)
			if stored.UID != pod.UID {
				return nil, nil, apierrors.NewNotFound(v1.Resource("warmpods"), pod.Name)
			}
			return stored, nil, change(stored)
		}, false, nil)
	if storage.IsNotFound(err) {
		return nil, apierrors.NewNotFound(v1.Resource("warmpods"), pod.Name)
	}
	return updated, err
}

// List reads all WarmPods as they are stored now: from the store itself, since it
// is called before the watch cache is filled.
func (o Objects) List(ctx context.Context) ([]v1.WarmPod, error) {
	const page = 500 // a limit is what passes the cache by
	ctx = request.WithNamespace(ctx, "")
	var all []v1.WarmPod
	options := storage.ListOptions{Predicate: storage.Everything, Recursive: true}
	options.Predicate.Limit = page
	for {
		list := &v1.WarmPodList{}
		if err := o.store.Storage.GetList(ctx, o.store.KeyRootFunc(ctx), options, list); err != nil {
			return nil, err
		}
		all = append(all, list.Items...)
		if list.Continue == "" {
			return all, nil
		}
		options.Predicate.Continue = list.Continue
	}
}

// errNotReady: the pod is not what the shelf took it for.
var errNotReady = errors.New("the pod is not Ready any more")

// assign makes a Ready pod Assigned, ahead of what the caller writes next.
func (o Objects) assign(ctx context.Context, pod *v1.WarmPod, sandbox *v1.Sandbox, now metav1.MicroTime) error {
	_, err := o.Update(safebeamstorage.Ahead(ctx), pod, func(stored *v1.WarmPod) error {
		switch s := &stored.Status; {
		case stored.DeletionTimestamp != nil:
			return fmt.Errorf("%w: it is being deleted", errNotReady)
		case s.Phase != v1.WarmPodReady || s.AssignedToUID != "":
			return fmt.Errorf("%w: it is %s", errNotReady, s.Phase)
		default:
			s.Phase = v1.WarmPodAssigned
			s.AssignedTo, s.AssignedToUID, s.AssignedAt = sandbox.Namespace+"/"+sandbox.Name, sandbox.UID, &now
			return nil
		}
	})
	return err
}

// Condemn has a pod destroyed, whatever it was, and says why. One that is gone
// needs nothing.
func (o Objects) Condemn(ctx context.Context, pod *v1.WarmPod, reason, message string) error {
	_, err := o.Update(ctx, pod, func(stored *v1.WarmPod) error {
		if stored.Status.Phase != v1.WarmPodTerminating {
			stored.Status.Phase, stored.Status.Reason, stored.Status.Message = v1.WarmPodTerminating, reason, message
		}
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
