// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/llmjob"
)

// exitOf says how a Job ended, from its pod if that is still there, and nil if
// it has not.
func exitOf(job *batchv1.Job, pods []*corev1.Pod) *launcher.Exit {
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			exit := podExit(pod)
			return &exit
		}
	}
	for _, condition := range job.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		exit := launcher.Exit{Time: condition.LastTransitionTime.Time, Reason: launcher.ReasonCompleted, Message: condition.Message}
		switch condition.Type {
		case batchv1.JobFailed:
			exit.Reason = launcher.ReasonJobFailed
			return &exit
		case batchv1.JobComplete:
			return &exit
		}
	}
	return nil
}

func podExit(pod *corev1.Pod) launcher.Exit {
	exit := launcher.Exit{Time: lastTransition(pod), Reason: launcher.ReasonJobFailed, Message: pod.Status.Message}
	if pod.Status.Phase == corev1.PodSucceeded {
		exit.Reason = launcher.ReasonCompleted
	}
	for _, status := range pod.Status.ContainerStatuses {
		terminated := status.State.Terminated
		if status.Name != containerName || terminated == nil {
			continue
		}
		exit.Time = terminated.FinishedAt.Time
		message := strings.TrimSpace(terminated.Message)
		if text, found := strings.CutPrefix(message, llmjob.ReasonSecretInvalid+": "); found {
			message = text
		}
		switch {
		case terminated.ExitCode == llmjob.ExitOK:
			exit.Reason = launcher.ReasonCompleted
		case terminated.ExitCode == llmjob.ExitSecretInvalid:
			exit.Reason = launcher.ReasonSecretInvalid
		}
		if message == "" {
			message = fmt.Sprintf("job ended: exit code %d, %s", terminated.ExitCode, terminated.Reason)
		}
		exit.Message = message
	}
	// Evicted, preempted, drained: nothing that the model could do about it.
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue {
			exit.Reason = launcher.ReasonCompleted
			exit.Message = "the pod was taken away: " + condition.Message
		}
	}
	if exit.Message == "" {
		exit.Message = "job ended: " + string(pod.Status.Phase)
	}
	return exit
}

// lastTransition is when the pod was last seen to change.
func lastTransition(pod *corev1.Pod) time.Time {
	last := pod.CreationTimestamp.Time
	for _, condition := range pod.Status.Conditions {
		if at := condition.LastTransitionTime.Time; at.After(last) {
			last = at
		}
	}
	return last
}

const (
	// eventsAfter is how long a pod may take to start before its events are
	// looked at.
	eventsAfter = 3 * time.Second
	// imageGrace is how long an image may fail to be pulled.
	imageGrace = 20 * time.Second
	// mountGrace is how long a volume may fail to be mounted for another
	// reason than a Secret that does not exist.
	mountGrace = time.Minute
)

// hopeless are the reasons of a container that waits for what will not come.
var hopeless = map[string]bool{
	"ErrImageNeverPull": true, "InvalidImageName": true, "ImageInspectError": true, "ImagePullBackOff": true, "ErrImagePull": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true, "StartError": true,
}

// stuck says why a pod will not start, and nil if it still may. scheduled is
// for how long it has had a node; events are asked for if they would tell.
func stuck(pod *corev1.Pod, scheduled time.Duration, events func() ([]corev1.Event, error)) (*launcher.Exit, error) {
	if pod.Status.Phase != corev1.PodPending || pod.DeletionTimestamp != nil || scheduled < eventsAfter {
		return nil, nil
	}
	for _, status := range pod.Status.ContainerStatuses {
		if waiting := status.State.Waiting; waiting != nil && hopeless[waiting.Reason] {
			if scheduled < imageGrace && strings.Contains(waiting.Reason, "Pull") && waiting.Reason != "ErrImageNeverPull" {
				return nil, nil
			}
			return &launcher.Exit{Reason: launcher.ReasonJobFailed, Message: fmt.Sprintf("the pod does not start: %s: %s", waiting.Reason, waiting.Message)}, nil
		}
	}
	list, err := events()
	if err != nil {
		return nil, err
	}
	var last *corev1.Event
	for i := range list {
		if event := &list[i]; event.Reason == "FailedMount" && (last == nil || last.LastTimestamp.Before(&event.LastTimestamp)) {
			last = event
		}
	}
	if last == nil {
		return nil, nil
	}
	exit := &launcher.Exit{Reason: launcher.ReasonJobFailed, Message: "the pod does not start: " + last.Message}
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret == nil {
			continue
		}
		if name := volume.Secret.SecretName; strings.Contains(last.Message, fmt.Sprintf("secret %q not found", name)) {
			exit.Reason, exit.Message = launcher.ReasonSecretNotFound, fmt.Sprintf("Secret %q does not exist in namespace %q", name, pod.Namespace)
			return exit, nil
		}
	}
	if scheduled < mountGrace {
		return nil, nil
	}
	return exit, nil
}
