// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package ttl

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/llmsafespace/v1"
)

// NewSandboxes makes the loop that deletes sandboxes that are over. The informer
// is run by the caller.
func NewSandboxes(client versioned.Interface, sandboxes cache.SharedIndexInformer, clk clock.WithTicker) (*Controller, error) {
	c := newController("ttl-sandboxes", clk, sandboxes.HasSynced)
	c.judge = func(name cache.ObjectName, now time.Time) (metav1.Object, verdict, error) {
		obj, exists, err := sandboxes.GetIndexer().GetByKey(name.String())
		if err != nil || !exists {
			return nil, verdict{}, err
		}
		sandbox := obj.(*llmsafespacev1.Sandbox)
		return sandbox, sandboxExpiry(sandbox, now), nil
	}
	c.delete = func(ctx context.Context, name cache.ObjectName, options metav1.DeleteOptions) error {
		return client.LlmsafespaceV1().Sandboxes(name.Namespace).Delete(ctx, name.Name, options)
	}
	return c, c.watch(sandboxes)
}

// NewExecutions makes the loop that deletes executions that are over. The
// informer is NewFinishedExecutionInformer's and is run by the caller.
func NewExecutions(client versioned.Interface, finished cache.SharedIndexInformer, clk clock.WithTicker) (*Controller, error) {
	c := newController("ttl-executions", clk, finished.HasSynced)
	c.judge = func(name cache.ObjectName, now time.Time) (metav1.Object, verdict, error) {
		obj, exists, err := finished.GetIndexer().GetByKey(name.String())
		if err != nil || !exists {
			return nil, verdict{}, err
		}
		execution := obj.(*llmsafespacev1.Execution)
		return execution, executionExpiry(execution, now), nil
	}
	c.delete = func(ctx context.Context, name cache.ObjectName, options metav1.DeleteOptions) error {
		return client.LlmsafespaceV1().Executions(name.Namespace).Delete(ctx, name.Name, options)
	}
	return c, c.watch(finished)
}

// NewFinishedExecutionInformer watches the executions that have ended, of all
// namespaces, without what they ran and wrote.
func NewFinishedExecutionInformer(client versioned.Interface) cache.SharedIndexInformer {
	finished := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", ""),
		fields.OneTermNotEqualSelector("status.phase", string(llmsafespacev1.ExecutionQueued)),
		fields.OneTermNotEqualSelector("status.phase", string(llmsafespacev1.ExecutionRunning)),
	).String()
	informer := informers.NewFilteredExecutionInformer(client, metav1.NamespaceAll, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
		options.FieldSelector = finished
	})
	// It fails only on an informer that runs already.
	if err := informer.SetTransform(stripExecution); err != nil {
		panic(err)
	}
	return informer
}

// stripExecution drops what the loop does not read. It is idempotent.
func stripExecution(obj any) (any, error) {
	execution, ok := obj.(*llmsafespacev1.Execution)
	if !ok {
		return obj, nil // a tombstone
	}
	execution.ManagedFields = nil
	execution.Annotations = nil
	execution.Labels = nil
	execution.Spec = llmsafespacev1.ExecutionSpec{TTLSecondsAfterFinished: execution.Spec.TTLSecondsAfterFinished}
	execution.Status = llmsafespacev1.ExecutionStatus{Phase: execution.Status.Phase, CompletionTime: execution.Status.CompletionTime}
	return execution, nil
}

// sandboxExpiry judges a sandbox. The server gives each a lifetime.
func sandboxExpiry(sandbox *llmsafespacev1.Sandbox, now time.Time) verdict {
	own := sandbox.Spec.TTLSecondsAfterFinished
	if own == nil || !sandbox.Status.Phase.Terminal() || sandbox.Status.CompletionTime == nil || sandbox.DeletionTimestamp != nil {
		return verdict{}
	}
	return expiresAt(sandbox.Status.CompletionTime.Add(time.Duration(*own)*time.Second), now)
}

// executionExpiry judges an execution.
func executionExpiry(execution *llmsafespacev1.Execution, now time.Time) verdict {
	own := execution.Spec.TTLSecondsAfterFinished
	if own == nil || !execution.Status.Phase.Terminal() || execution.Status.CompletionTime == nil || execution.DeletionTimestamp != nil {
		return verdict{}
	}
	return expiresAt(execution.Status.CompletionTime.Add(time.Duration(*own)*time.Second), now)
}
