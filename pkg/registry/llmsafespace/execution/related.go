// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// related reads what an execution names, in the namespace of ctx. The reads are
// consistent ones: a sandbox that was made a moment ago is there.
type related struct {
	sandboxes rest.Getter
	language  func(ctx context.Context, sandbox *v1.Sandbox) (string, error)
	languages func(language string) (known bool, there []string)
}

// seen is the sandbox that a create has read. The strategy's steps share it, so
// that all of them speak of the same one.
type seen struct {
	read    bool
	sandbox *v1.Sandbox
	err     error
}

type seenKey struct{}

// remembering is the context of one create.
func remembering(ctx context.Context) context.Context {
	return context.WithValue(ctx, seenKey{}, &seen{})
}

// sandbox is the execution's, nil if there is none.
func (r related) sandbox(ctx context.Context, execution *v1.Execution) (*v1.Sandbox, error) {
	known, _ := ctx.Value(seenKey{}).(*seen)
	if known == nil {
		known = &seen{}
	}
	if !known.read && execution.Spec.Sandbox != "" {
		known.read = true
		known.sandbox, known.err = r.readSandbox(ctx, execution.Spec.Sandbox)
	}
	return known.sandbox, known.err
}

func (r related) readSandbox(ctx context.Context, name string) (*v1.Sandbox, error) {
	obj, err := r.sandboxes.Get(ctx, name, &metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return obj.(*v1.Sandbox), nil
}
