// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"safebeam.dev/safebeam/pkg/launcher"
)

// hopeless are the reasons of a container that waits for what will not come.
var hopeless = map[string]bool{"ErrImageNeverPull": true, "InvalidImageName": true}

// disruptions are Kubernetes' reasons for taking a pod away.
var disruptions = map[string]string{
	"EvictionByEvictionAPI":              launcher.ReasonDrained,
	"DeletionByTaintManager":             launcher.ReasonNodeLost,
	"DeletionByPodGC":                    launcher.ReasonNodeLost,
	"PreemptionByScheduler":              launcher.ReasonEvicted,
	corev1.PodReasonTerminationByKubelet: launcher.ReasonEvicted,
}

// observe is a Pod as the loops see it. deleting says that we have deleted it.
func observe(pod *corev1.Pod, deleting bool) launcher.Pod {
	owner, _ := ownerOf(pod)
	seen := launcher.Pod{
		UID: pod.UID, Name: pod.Name, Namespace: pod.Namespace, Owner: owner,
		IP: pod.Status.PodIP, Node: pod.Spec.NodeName,
		Phase: launcher.PodPending, Since: pod.CreationTimestamp.Time, Started: started(pod),
	}
	switch {
	case pod.DeletionTimestamp != nil && deleting:
		seen.Phase, seen.Since = launcher.PodStopping, pod.DeletionTimestamp.Time
	case pod.DeletionTimestamp != nil:
		seen.Phase, seen.Since = launcher.PodEnded, pod.DeletionTimestamp.Time
		seen.Reason, seen.Message = takenAway(pod)
	case pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded || terminated(pod) != nil:
		seen.Phase = launcher.PodEnded
		seen.Reason, seen.Message = ended(pod)
	case running(pod) != nil:
		seen.Phase, seen.Since = launcher.PodRunning, running(pod).StartedAt.Time
	default:
		seen.Reason, seen.Message, seen.Hopeless = waiting(pod)
	}
	return seen
}

func container(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if status := &pod.Status.ContainerStatuses[i]; status.Name == containerName {
			return status
		}
	}
	return nil
}

func running(pod *corev1.Pod) *corev1.ContainerStateRunning {
	if status := container(pod); status != nil {
		return status.State.Running
	}
	return nil
}

func terminated(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if status := container(pod); status != nil {
		return status.State.Terminated
	}
	return nil
}

func started(pod *corev1.Pod) bool { return running(pod) != nil || terminated(pod) != nil }

// disrupted is why Kubernetes takes the pod away, if it does.
func disrupted(pod *corev1.Pod) (reason, message string) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type != corev1.DisruptionTarget || condition.Status != corev1.ConditionTrue {
			continue
		}
		if reason = disruptions[condition.Reason]; reason == "" {
			reason = launcher.ReasonEvicted
		}
		return reason, fmt.Sprintf("the pod was taken from node %s: %s", pod.Spec.NodeName, condition.Message)
	}
	return "", ""
}

// takenAway is why somebody other than us deleted the pod.
func takenAway(pod *corev1.Pod) (reason, message string) {
	if reason, message = disrupted(pod); reason != "" {
		return reason, message
	}
	if reason = pod.Status.Reason; reason == launcher.ReasonEvicted || reason == launcher.ReasonNodeLost {
		return reason, pod.Status.Message
	}
	return launcher.ReasonPodDeleted, fmt.Sprintf("pod %s/%s was deleted", pod.Namespace, pod.Name)
}

// ended is why a pod ended by itself.
func ended(pod *corev1.Pod) (reason, message string) {
	switch pod.Status.Reason {
	case "Evicted":
		return launcher.ReasonEvicted, pod.Status.Message
	case "NodeLost", "NodeShutdown", "Terminated", "Shutdown":
		return launcher.ReasonNodeLost, pod.Status.Message
	}
	state := terminated(pod)
	if state != nil && state.Reason == launcher.ReasonOOMKilled {
		return launcher.ReasonOOMKilled, fmt.Sprintf("the sandbox passed its memory limit faster than its guest could be ended (limit %s)", limit(pod, corev1.ResourceMemory))
	}
	if reason, message = disrupted(pod); reason != "" {
		return reason, message
	}
	for _, status := range pod.Status.InitContainerStatuses {
		if failed := status.State.Terminated; failed != nil && failed.ExitCode != 0 {
			return launcher.ReasonAgentFailed, fmt.Sprintf("sandboxd could not be brought into the pod: exit code %d, %s", failed.ExitCode, strings.TrimSpace(failed.Reason+" "+failed.Message))
		}
	}
	if state == nil {
		if pod.Status.Reason != "" {
			return pod.Status.Reason, pod.Status.Message
		}
		return launcher.ReasonAgentFailed, "the pod ended: " + string(pod.Status.Phase) + " " + pod.Status.Message
	}
	if state.Reason != "Error" && state.Reason != "Completed" && state.Reason != "" {
		return state.Reason, strings.TrimSpace(state.Message)
	}
	if signal := state.ExitCode - 128; signal > 0 && signal <= 64 {
		return launcher.ReasonAgentFailed, strings.TrimSpace(fmt.Sprintf("sandboxd was ended by signal %d %s", signal, strings.TrimSpace(state.Message)))
	}
	return launcher.ReasonAgentFailed, fmt.Sprintf("sandboxd ended with exit code %d: %s", state.ExitCode, strings.TrimSpace(state.Message))
}

func limit(pod *corev1.Pod, name corev1.ResourceName) string {
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == containerName {
			quantity := c.Resources.Limits[name]
			return quantity.String()
		}
	}
	return "unknown"
}

// waiting is what a pod waits for, if that is more than time.
func waiting(pod *corev1.Pod) (reason, message string, never bool) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			return launcher.ReasonUnschedulable, condition.Message, false
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range statuses {
			state := status.State.Waiting
			if state == nil || state.Reason == "" || state.Reason == "ContainerCreating" || state.Reason == "PodInitializing" {
				continue
			}
			return state.Reason, strings.TrimSpace(fmt.Sprintf("image %s: %s", status.Image, state.Message)), hopeless[state.Reason]
		}
	}
	return "", "", false
}

// scheduledAt is when the pod got its node; zero if it has none.
func scheduledAt(pod *corev1.Pod) time.Time {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return time.Time{}
}
