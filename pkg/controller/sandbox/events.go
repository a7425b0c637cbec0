// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Reasons of events that are no reasons of the status.
const (
	eventPodBound     = "PodBound"
	eventWarmPodBound = "WarmPodBound"
	eventScheduled    = "Scheduled"
	eventStarted      = "Started"
	eventReconnected  = "Reconnected"
)

// event is what an Event says.
type event struct{ kind, reason, message string }

const (
	normal  = corev1.EventTypeNormal
	warning = corev1.EventTypeWarning
)

// tell records what became of a sandbox between two states of it, as the informer
// shows them: whoever wrote it, the gateway or this loop, and once for all that was
// written in between.
func tell(recorder record.EventRecorder, old, sandbox *llmsafespacev1.Sandbox) {
	for _, e := range news(&old.Status, &sandbox.Status) {
		recorder.Event(sandbox, e.kind, e.reason, e.message)
	}
}

// news is what is new in a status, in the order of a sandbox's life.
func news(old, status *llmsafespacev1.SandboxStatus) (list []event) {
	say := func(kind, reason, format string, arguments ...any) {
		list = append(list, event{kind, reason, fmt.Sprintf(format, arguments...)})
	}
	phase, changed := status.Phase, status.Phase != old.Phase
	if why, ok := obstacle(status); ok {
		if before, was := obstacle(old); !was || before != why {
			say(warning, why.reason, "%s", why.message)
		}
	}
	if status.PodName != "" && old.PodName == "" {
		if status.WarmPodRef != nil {
			say(normal, eventWarmPodBound, "got warm pod %s/%s", status.PodNamespace, status.PodName)
		} else {
			say(normal, eventPodBound, "got pod %s/%s", status.PodNamespace, status.PodName)
		}
	}
	if status.NodeName != "" && old.NodeName == "" {
		say(normal, eventScheduled, "its pod is on node %s", status.NodeName)
	}
	if status.StartTime != nil && old.StartTime == nil {
		took := ""
		if timings := status.Timings; timings != nil && timings.ReadyMilliseconds > 0 {
			took = fmt.Sprintf(", %s after its creation", time.Duration(timings.ReadyMilliseconds)*time.Millisecond)
		}
		say(normal, eventStarted, "it can be used%s", took)
	}
	if phase == llmsafespacev1.SandboxRunning && !changed {
		was, is := ready(old), ready(status)
		switch {
		case was == is:
		case is == metav1.ConditionFalse:
			condition := meta.FindStatusCondition(status.Conditions, llmsafespacev1.SandboxReady)
			say(warning, condition.Reason, "%s", condition.Message)
		case was == metav1.ConditionFalse:
			say(normal, eventReconnected, "it can be used again")
		}
	}
	if intruder := refusedIntruder(status); intruder != nil {
		if before := refusedIntruder(old); before == nil || !before.LastTransitionTime.Equal(&intruder.LastTransitionTime) {
			say(warning, intruder.Reason, "%s", intruder.Message)
		}
	}
	switch {
	case !changed:
	case phase == llmsafespacev1.SandboxTerminating:
		say(normal, status.Reason, "it is being ended: %s", status.Message)
	case phase == llmsafespacev1.SandboxTerminated:
		say(normal, string(phase), "%s", ending{reason: status.Reason, message: status.Message})
	case phase.Terminal():
		say(warning, string(phase), "%s", ending{reason: status.Reason, message: status.Message})
	}
	return list
}

func (e ending) String() string {
	if e.message == "" {
		return e.reason
	}
	return e.reason + ": " + e.message
}

// obstacle is why a sandbox has no pod, or why that does not start.
func obstacle(status *llmsafespacev1.SandboxStatus) (ending, bool) {
	pending := status.Phase == "" || status.Phase == llmsafespacev1.SandboxPending || status.Phase == llmsafespacev1.SandboxCreating
	if !pending || status.Reason == "" {
		return ending{}, false
	}
	return ending{reason: status.Reason, message: status.Message}, true
}

func ready(status *llmsafespacev1.SandboxStatus) metav1.ConditionStatus {
	if condition := meta.FindStatusCondition(status.Conditions, llmsafespacev1.SandboxReady); condition != nil {
		return condition.Status
	}
	return metav1.ConditionUnknown
}

func refusedIntruder(status *llmsafespacev1.SandboxStatus) *metav1.Condition {
	return meta.FindStatusCondition(status.Conditions, llmsafespacev1.SandboxIntruderRefused)
}
