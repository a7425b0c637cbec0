// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/access"
)

// The finalizer stands for the pod: who removes it says that there is none any more.
// That is the controller's to say, as the status is, and whoever may write that may
// remove it.

func holds(sandbox *v1.Sandbox) bool { return slices.Contains(sandbox.Finalizers, v1.SandboxFinalizer) }

// keepFinalizer keeps it where a manifest that names none replaces the object.
func keepFinalizer(ctx context.Context, sandbox, old *v1.Sandbox) {
	if info, ok := request.RequestInfoFrom(ctx); ok && info.Verb == "update" && holds(old) && len(sandbox.Finalizers) == 0 {
		sandbox.Finalizers = []string{v1.SandboxFinalizer}
	}
}

// mayRelease refuses to let somebody else remove it.
func (s strategy) mayRelease(ctx context.Context, sandbox, old *v1.Sandbox) field.ErrorList {
	if !holds(old) || holds(sandbox) {
		return nil
	}
	path := field.NewPath("metadata", "finalizers")
	err := access.Require(ctx, s.references.Authorizer, v1.Resource("sandboxes"), sandbox.Name, access.Wish{
		Field: path, Verb: "update", Resource: v1.SchemeGroupVersion.WithResource("sandboxes"), Subresource: "status",
		Namespace: sandbox.Namespace, Name: sandbox.Name,
	})
	if err == nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(path, v1.SandboxFinalizer+" is removed by the controller once the sandbox's pod is gone; to remove it takes the verb update on sandboxes/status")}
}
