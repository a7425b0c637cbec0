// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"safebeam.dev/safebeam/pkg/cli/request"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

func completeModels(target *request.Target) cobra.CompletionFunc {
	return target.Complete(func(ctx context.Context, clients versioned.Interface, namespace string, options metav1.ListOptions) (runtime.Object, error) {
		return clients.TightbeamV1().TightbeamModels(namespace).List(ctx, options)
	})
}

func completeConversations(target *request.Target) cobra.CompletionFunc {
	return target.Complete(func(ctx context.Context, clients versioned.Interface, namespace string, options metav1.ListOptions) (runtime.Object, error) {
		return clients.TightbeamV1().Conversations(namespace).List(ctx, options)
	})
}
