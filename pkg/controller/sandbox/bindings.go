// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandboxpod"
)

// NewBindings writes bindings through the API, by the subresource sandboxes/pods.
func NewBindings(client versioned.Interface) Bindings { return bindings{client} }

type bindings struct{ client versioned.Interface }

func (b bindings) request(verb func(rest.Interface) *rest.Request, sandbox *llmsafespacev1.Sandbox, suffix ...string) *rest.Request {
	return verb(b.client.LlmsafespaceV1().RESTClient()).
		Namespace(sandbox.Namespace).Resource("sandboxes").Name(sandbox.Name).SubResource(sandboxpod.Subresource).Suffix(suffix...)
}

func (b bindings) Bind(ctx context.Context, sandbox *llmsafespacev1.Sandbox, pod launcher.Pod) error {
	body, err := json.Marshal(sandboxpod.Binding{SandboxUID: sandbox.UID, PodName: pod.Name, PodNamespace: pod.Namespace})
	if err != nil {
		return err
	}
	return b.request(rest.Interface.Put, sandbox, string(pod.UID)).SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
}

func (b bindings) Drop(ctx context.Context, sandbox *llmsafespacev1.Sandbox) error {
	data, err := b.request(rest.Interface.Get, sandbox).DoRaw(ctx)
	if err != nil {
		return err
	}
	var list sandboxpod.List
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	var errs []error
	for _, binding := range list.Items {
		if binding.Owner.UID != sandbox.UID {
			continue
		}
		if err := b.request(rest.Interface.Delete, sandbox, string(binding.PodUID)).Do(ctx).Error(); !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
