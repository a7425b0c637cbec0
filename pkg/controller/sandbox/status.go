// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/conditions"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	fieldManager = "safebeam-controller"
	// maxAttempts bounds the conflicts of one write. The gateway writes the same
	// status, a few times in a sandbox's life.
	maxAttempts = 5
)

// write changes the status of the sandbox's newest version. change is told what
// that is, and may find that nothing is to be done any more. It returns what the
// server has then; nil if the sandbox is gone.
func (c *Controller) write(ctx context.Context, sandbox *llmsafespacev1.Sandbox, change func(*llmsafespacev1.Sandbox)) (*llmsafespacev1.Sandbox, error) {
	sandboxes := c.client.LlmsafespaceV1().Sandboxes(sandbox.Namespace)
	for attempt := 1; ; attempt++ {
		changed := sandbox.DeepCopy()
		change(changed)
		changed.Status.ObservedGeneration = changed.Generation
		if apiequality.Semantic.DeepEqual(changed.Status, sandbox.Status) {
			return sandbox, nil
		}
		updated, err := sandboxes.UpdateStatus(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager})
		switch {
		case err == nil:
			c.written.Mutation(updated)
			return updated, nil
		case apierrors.IsNotFound(err):
			return nil, nil
		case !apierrors.IsConflict(err) || attempt == maxAttempts:
			return nil, fmt.Errorf("writing the status of sandbox %s/%s: %w", sandbox.Namespace, sandbox.Name, err)
		}
		newest, err := sandboxes.Get(ctx, sandbox.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && newest.UID != sandbox.UID {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading sandbox %s/%s again: %w", sandbox.Namespace, sandbox.Name, err)
		}
		sandbox = newest
	}
}

// refused says why there is no pod.
func refused(status *llmsafespacev1.SandboxStatus, refusal *launcher.Refusal, now time.Time) {
	if status.Phase != "" && status.Phase != llmsafespacev1.SandboxPending {
		return
	}
	status.Phase = llmsafespacev1.SandboxPending
	status.Reason, status.Message = refusal.Reason, conditions.Message(refusal.Message)
	conditions.Set(&status.Conditions, llmsafespacev1.SandboxPodCreated, metav1.ConditionFalse, refusal.Reason, refusal.Message, now)
	conditions.Set(&status.Conditions, llmsafespacev1.SandboxReady, metav1.ConditionFalse, refusal.Reason, refusal.Message, now)
}

// observed writes down what is known of the pod, and how long it took to have one.
// The phase is the gateway's from Running on.
func observed(sandbox *llmsafespacev1.Sandbox, pod launcher.Pod, timings *llmsafespacev1.SandboxTimings, now time.Time) {
	status := &sandbox.Status
	if status.Phase.Terminal() || status.Phase == llmsafespacev1.SandboxTerminating {
		return
	}
	status.PodName, status.PodNamespace = pod.Name, pod.Namespace
	if timings != nil {
		if status.Timings == nil {
			status.Timings = &llmsafespacev1.SandboxTimings{}
		}
		status.Timings.QueuedMilliseconds, status.Timings.BoundMilliseconds = timings.QueuedMilliseconds, timings.BoundMilliseconds
	}
	if pod.IP != "" {
		status.PodIP = pod.IP
	}
	if pod.Node != "" {
		status.NodeName = pod.Node
	}
	if access := sandbox.Spec.NetworkAccess; access != nil && access.Ingress && pod.Endpoint != "" {
		status.Endpoint = pod.Endpoint
	}
	// What a claim has said of its pod stands: a write for other words would cost
	// every warm sandbox a commit.
	if pod.Owner.Kind == launcher.OwnerWarmPod && meta.IsStatusConditionTrue(status.Conditions, llmsafespacev1.SandboxPodCreated) {
		return
	}
	conditions.Set(&status.Conditions, llmsafespacev1.SandboxPodCreated, metav1.ConditionTrue, "Created", strings.Join(append([]string{"the pod was created"}, pod.Notes...), "; "), now)
	if status.Phase == llmsafespacev1.SandboxRunning {
		return
	}
	status.Phase = llmsafespacev1.SandboxCreating
	status.Reason, status.Message = pod.Reason, conditions.Message(pod.Message)
	reason, message := pod.Reason, pod.Message
	if reason == "" {
		reason, message = "Starting", "the pod is being started"
		if pod.Phase == launcher.PodRunning {
			message = "the pod runs, and sandboxd is about to connect"
		}
	}
	conditions.Set(&status.Conditions, llmsafespacev1.SandboxReady, metav1.ConditionFalse, reason, message, now)
}

// ended writes the end down, unless another one stands there.
func ended(status *llmsafespacev1.SandboxStatus, end ending, now time.Time) {
	if status.Phase.Terminal() {
		return
	}
	// The gateway may have said Running since this loop looked.
	if end.phase == llmsafespacev1.SandboxFailed && status.StartTime != nil {
		end.phase = llmsafespacev1.SandboxLost
	}
	// Or that it is over: then the pod went because it had to.
	if status.Phase == llmsafespacev1.SandboxTerminating && end.reason != reasonDeleted {
		end = ending{llmsafespacev1.SandboxTerminated, status.Reason, status.Message}
	}
	status.Phase, status.Reason, status.Message = end.phase, end.reason, conditions.Message(end.message)
	status.CompletionTime = &metav1.Time{Time: now}
	conditions.Set(&status.Conditions, llmsafespacev1.SandboxReady, metav1.ConditionFalse, orPhase(end), end.message, now)
}

func orPhase(end ending) string {
	if end.reason != "" {
		return end.reason
	}
	return string(end.phase)
}
