// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/klog/v2"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
)

const (
	reasonNotStored  = "SandboxNotStored"
	messageNotStored = "the pod was claimed for a sandbox that never came to be, or is gone"
)

// Recover has the pods destroyed that an earlier process claimed for sandboxes
// which never came to be. Both writes of a claim come before the sandbox's, so
// either of them without the sandbox is such a claim. It must have returned
// before a request is taken; the bindings have been recovered before.
func (c *Claimer) Recover(ctx context.Context) error {
	orphans, err := c.orphans(ctx)
	if err != nil {
		return err
	}
	pods, err := c.Objects.List(ctx)
	if err != nil {
		return fmt.Errorf("listing warm pods: %w", err)
	}
	for i := range pods {
		pod := &pods[i]
		_, orphan := orphans[types.NamespacedName{Namespace: pod.Status.PodNamespace, Name: pod.Status.PodName}]
		if !orphan && pod.Status.AssignedToUID != "" {
			namespace, name, _ := strings.Cut(pod.Status.AssignedTo, "/")
			sandbox, err := c.stored(ctx, namespace, name, pod.Status.AssignedToUID)
			if err != nil {
				return err
			}
			orphan = sandbox == nil
		}
		if !orphan || pod.Status.Phase == v1.WarmPodTerminating {
			continue
		}
		klog.FromContext(ctx).Info("A warm pod that was claimed has no sandbox, and is destroyed", "warmPod", klog.KObj(pod))
		if err := c.Objects.Condemn(ctx, pod, reasonNotStored, messageNotStored); err != nil {
			return fmt.Errorf("condemning warm pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	// The bindings go last: they are what finds the pods above.
	for _, uid := range orphans {
		if err := c.Bindings.Drop(ctx, uid); err != nil {
			return fmt.Errorf("dropping the binding of pod %s: %w", uid, err)
		}
	}
	return nil
}

// orphans are the pods that are bound to a sandbox which is not there. A sandbox
// does not go before its binding: it never was.
func (c *Claimer) orphans(ctx context.Context) (map[types.NamespacedName]types.UID, error) {
	all, err := c.Bindings.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing bindings: %w", err)
	}
	orphans := map[types.NamespacedName]types.UID{}
	for _, binding := range all {
		if binding.Owner.Kind != bindings.Sandbox {
			continue
		}
		sandbox, err := c.stored(ctx, binding.Owner.Namespace, binding.Owner.Name, binding.Owner.UID)
		if err != nil {
			return nil, err
		}
		if sandbox == nil {
			orphans[types.NamespacedName{Namespace: binding.PodNamespace, Name: binding.PodName}] = binding.PodUID
		}
	}
	return orphans, nil
}

// stored returns the sandbox of that UID if it is there.
func (c *Claimer) stored(ctx context.Context, namespace, name string, uid types.UID) (*v1.Sandbox, error) {
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, nil // nobody can be called that: somebody wrote it
	}
	sandbox, err := c.Sandbox(ctx, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading sandbox %s/%s: %w", namespace, name, err)
	case sandbox.UID != uid:
		return nil, nil
	}
	return sandbox, nil
}
