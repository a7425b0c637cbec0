// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/executions"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/execution"
)

// runner serves the cancellation of executions by who runs them.
type runner struct{ *executions.Runner }

var (
	_ execution.Events    = &executions.Runner{}
	_ execution.Canceller = runner{}
)

// Cancel implements execution.Canceller.
func (r runner) Cancel(ctx context.Context, object *llmsafespacev1.Execution) (*llmsafespacev1.Execution, error) {
	who := "somebody"
	if user, ok := request.UserFrom(ctx); ok {
		who = user.GetName()
	}
	return r.Runner.Cancel(ctx, object, "cancelled by "+who)
}

// languageOf is the language of a sandbox's runtime, by the environment that it
// was resolved to.
func languageOf(environments rest.Getter) func(context.Context, *llmsafespacev1.Sandbox) (string, error) {
	return func(ctx context.Context, sandbox *llmsafespacev1.Sandbox) (string, error) {
		named, _, versioned := strings.Cut(sandbox.Spec.Runtime, ":")
		if versioned {
			return named, nil
		}
		obj, err := environments.Get(request.WithNamespace(ctx, metav1.NamespaceNone), sandbox.Status.RuntimeEnvironment, &metav1.GetOptions{ResourceVersion: "0"})
		if apierrors.IsNotFound(err) {
			return "", apierrors.NewBadRequest("the RuntimeEnvironment of the sandbox is gone: say in spec.language what the code is")
		}
		if err != nil {
			return "", err
		}
		return obj.(*llmsafespacev1.RuntimeEnvironment).Spec.Language, nil
	}
}
