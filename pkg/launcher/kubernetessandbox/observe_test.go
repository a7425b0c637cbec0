// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"safebeam.dev/safebeam/pkg/launcher"
)

func TestWhatBecameOfAPod(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Now())
	runs := func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}}
	}
	ends := func(state corev1.ContainerStateTerminated) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: corev1.ContainerState{Terminated: &state}}}
		}
	}
	waits := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, Image: "image:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "said the kubelet"}}}}
		}
	}
	disrupted := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			runs(p)
			p.DeletionTimestamp = &now
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason}}
		}
	}
	for _, tc := range []struct {
		name     string
		change   func(*corev1.Pod)
		ours     bool
		phase    launcher.PodPhase
		reason   string
		message  string
		hopeless bool
	}{
		{name: "is new", change: func(*corev1.Pod) {}, phase: launcher.PodPending},
		{name: "is being made", change: waits("ContainerCreating"), phase: launcher.PodPending},
		{name: "finds no room", change: func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
		}, phase: launcher.PodPending, reason: launcher.ReasonUnschedulable, message: "0/1 nodes"},
		{name: "cannot pull", change: waits("ImagePullBackOff"), phase: launcher.PodPending, reason: "ImagePullBackOff", message: "image:1"},
		{name: "will never pull", change: waits("InvalidImageName"), phase: launcher.PodPending, reason: "InvalidImageName", hopeless: true},
		{name: "runs", change: runs, phase: launcher.PodRunning},
		{name: "was OOM killed", change: ends(corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}), phase: launcher.PodEnded, reason: launcher.ReasonOOMKilled, message: "512Mi"},
		{name: "ended with sandboxd", change: ends(corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 2, Message: "refused by the gateway"}), phase: launcher.PodEnded, reason: launcher.ReasonAgentFailed, message: "refused by the gateway"},
		{name: "was killed", change: ends(corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 137}), phase: launcher.PodEnded, reason: launcher.ReasonAgentFailed, message: "signal 9"},
		{name: "was evicted", change: func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "ephemeral local storage"
		}, phase: launcher.PodEnded, reason: launcher.ReasonEvicted, message: "ephemeral"},
		{name: "went with its node", change: func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "NodeShutdown" }, phase: launcher.PodEnded, reason: launcher.ReasonNodeLost},
		{name: "got no sandboxd", change: func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}}
		}, phase: launcher.PodEnded, reason: launcher.ReasonAgentFailed, message: "could not be brought"},
		{name: "is drained", change: disrupted("EvictionByEvictionAPI"), phase: launcher.PodEnded, reason: launcher.ReasonDrained},
		{name: "is on a node that is lost", change: disrupted("DeletionByTaintManager"), phase: launcher.PodEnded, reason: launcher.ReasonNodeLost},
		{name: "is preempted", change: disrupted("PreemptionByScheduler"), phase: launcher.PodEnded, reason: launcher.ReasonEvicted},
		{name: "is deleted by somebody", change: func(p *corev1.Pod) { runs(p); p.DeletionTimestamp = &now }, phase: launcher.PodEnded, reason: launcher.ReasonPodDeleted},
		{name: "is deleted by us", change: func(p *corev1.Pod) { runs(p); p.DeletionTimestamp = &now }, ours: true, phase: launcher.PodStopping},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pod := podOf(nil)
			tc.change(pod)
			got := observe(pod, tc.ours)
			if got.Phase != tc.phase || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) || got.Hopeless != tc.hopeless {
				t.Errorf("%+v", got)
			}
			if got.Owner.UID != "uid-of-one" {
				t.Errorf("it is %+v's", got.Owner)
			}
		})
	}
}
