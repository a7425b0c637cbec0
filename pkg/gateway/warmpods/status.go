// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/conditions"
)

// defaultTimeout is that of the API.
const defaultTimeout = 300

// running fills in the status of a sandbox that has its pod. It is all that the
// loop of sandboxes would write, so that it writes nothing.
func running(sandbox *v1.Sandbox, pod *Pod, began, chosen, now time.Time) {
	object, status := pod.Object, &sandbox.Status
	status.Phase, status.Reason, status.Message = v1.SandboxRunning, "", ""
	status.ObservedGeneration = sandbox.Generation
	status.StartTime = ptr.To(metav1.NewTime(now).Rfc3339Copy())
	timeout := time.Duration(ptr.Deref(sandbox.Spec.Timeout, defaultTimeout)) * time.Second
	status.ExpiresAt = ptr.To(metav1.NewTime(now.Add(timeout)).Rfc3339Copy())
	status.Resources = inForce(sandbox.Spec.Resources, object.Status.Resources)
	status.PodName, status.PodNamespace = object.Status.PodName, object.Status.PodNamespace
	status.PodIP, status.NodeName = object.Status.PodIP, object.Status.NodeName
	status.WarmPodRef = &v1.ObjectReference{Namespace: object.Namespace, Name: object.Name}
	status.Timings = &v1.SandboxTimings{
		QueuedMilliseconds: milliseconds(began, chosen),
		BoundMilliseconds:  milliseconds(began, now),
		ReadyMilliseconds:  milliseconds(began, now),
	}
	created := "the pod was created"
	if object.Status.Message != "" {
		created += "; " + object.Status.Message
	}
	set(status, v1.SandboxPodCreated, metav1.ConditionTrue, "Created", created, now)
	set(status, v1.SandboxWarmPodBound, metav1.ConditionTrue, ReasonBound, "warm pod "+object.Namespace+"/"+object.Name+" of pool "+object.Spec.PoolRef.Name, now)
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{ // as live says it
		Type: v1.SandboxReady, Status: metav1.ConditionTrue, Reason: "Connected", Message: "the sandbox can be used",
		ObservedGeneration: sandbox.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

// inForce is what the pod has, but for the memory, which sandboxd holds the
// guest to as it was asked.
func inForce(asked, has *v1.Resources) *v1.Resources {
	resources := has.DeepCopy()
	if resources != nil && asked != nil && asked.Memory != nil {
		resources.Memory = ptr.To(asked.Memory.DeepCopy())
	}
	return resources
}

// cold says why a sandbox has no warm pod.
func cold(sandbox *v1.Sandbox, refusal *Refusal, now time.Time) {
	set(&sandbox.Status, v1.SandboxWarmPodBound, metav1.ConditionFalse, refusal.Reason, refusal.Message, now)
}

func set(status *v1.SandboxStatus, kind string, value metav1.ConditionStatus, reason, message string, now time.Time) {
	conditions.Set(&status.Conditions, kind, value, reason, message, now)
}
