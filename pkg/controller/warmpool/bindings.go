// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"
	"encoding/json"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandboxpod"
)

// Bindings are the gateway's records of whose a pod is.
type Bindings interface {
	// Bind says that the pod is the WarmPod's. It is idempotent. A conflict says
	// that the WarmPod has, or had, another one.
	Bind(ctx context.Context, warmPod *v1.WarmPod, pod launcher.Pod) error
	// Drop drops the binding of whatever pod the WarmPod has. It is idempotent.
	// One that was claimed is the sandbox's, and not touched.
	Drop(ctx context.Context, name cache.ObjectName) error
}

// NewBindings writes bindings through the API, by the subresource warmpods/pods.
func NewBindings(client versioned.Interface) Bindings { return bindings{client} }

type bindings struct{ client versioned.Interface }

func (b bindings) request(verb func(rest.Interface) *rest.Request, name cache.ObjectName, suffix ...string) *rest.Request {
	return verb(b.client.LlmsafespaceV1().RESTClient()).
		Namespace(name.Namespace).Resource("warmpods").Name(name.Name).SubResource(sandboxpod.Subresource).Suffix(suffix...)
}

func (b bindings) Bind(ctx context.Context, warmPod *v1.WarmPod, pod launcher.Pod) error {
	body, err := json.Marshal(sandboxpod.Binding{WarmPodUID: warmPod.UID, PodName: pod.Name, PodNamespace: pod.Namespace})
	if err != nil {
		return err
	}
	name := cache.ObjectName{Namespace: warmPod.Namespace, Name: warmPod.Name}
	return b.request(rest.Interface.Put, name, string(pod.UID)).SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
}

func (b bindings) Drop(ctx context.Context, name cache.ObjectName) error {
	data, err := b.request(rest.Interface.Get, name).DoRaw(ctx)
	if err != nil {
		return err
	}
	var list sandboxpod.List
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	var errs []error
	for _, binding := range list.Items {
		if err := b.request(rest.Interface.Delete, name, string(binding.PodUID)).Do(ctx).Error(); !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
