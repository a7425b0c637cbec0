// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

func TestWhatIsDoneNext(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const (
		pending     = llmsafespacev1.SandboxPending
		creating    = llmsafespacev1.SandboxCreating
		running     = llmsafespacev1.SandboxRunning
		terminating = llmsafespacev1.SandboxTerminating
		terminated  = llmsafespacev1.SandboxTerminated
		failed      = llmsafespacev1.SandboxFailed
		lost        = llmsafespacev1.SandboxLost
	)
	pod := func(phase launcher.PodPhase) *launcher.Pod {
		return &launcher.Pod{Phase: phase, Since: now, Reason: "Why"}
	}
	hopeless := pod(launcher.PodPending)
	hopeless.Hopeless = true
	silent := pod(launcher.PodRunning)
	silent.Since = now.Add(-connectTimeout)
	for _, tc := range []struct {
		name     string
		phase    llmsafespacev1.SandboxPhase
		deleted  bool
		pod      *launcher.Pod
		do       step
		end      llmsafespacev1.SandboxPhase
		reason   string
		reminder bool
	}{
		{name: "new, without a pod", phase: pending, do: stepLaunch},
		{name: "stored without a phase", phase: "", do: stepLaunch},
		{name: "launched by a controller that is gone", phase: pending, pod: pod(launcher.PodPending), do: stepBind},
		{name: "launched, and runs already", phase: pending, pod: pod(launcher.PodRunning), do: stepBind},
		{name: "launched, and ended already", phase: pending, pod: pod(launcher.PodEnded), do: stepEnd, end: failed, reason: "Why"},
		{name: "its pod is starting", phase: creating, pod: pod(launcher.PodPending), do: stepObserve},
		{name: "its pod will never start", phase: creating, pod: hopeless, do: stepEnd, end: failed, reason: "Why"},
		{name: "its pod is about to connect", phase: creating, pod: pod(launcher.PodRunning), do: stepObserve, reminder: true},
		{name: "its pod does not connect", phase: creating, pod: silent, do: stepEnd, end: failed, reason: launcher.ReasonAgentNotConnected},
		{name: "its pod ended before it was ready", phase: creating, pod: pod(launcher.PodEnded), do: stepEnd, end: failed, reason: "Why"},
		{name: "its pod went before it was ready", phase: creating, do: stepEnd, end: failed, reason: "Unknown"},
		{name: "runs", phase: running, pod: pod(launcher.PodRunning), do: stepObserve},
		{name: "runs, says the gateway before the launcher does", phase: running, pod: pod(launcher.PodPending), do: stepObserve},
		{name: "its pod ended", phase: running, pod: pod(launcher.PodEnded), do: stepEnd, end: lost, reason: "Why"},
		{name: "its pod is gone, and how is known", phase: running, pod: pod(launcher.PodGone), do: stepEnd, end: lost, reason: "Why"},
		{name: "its pod is gone without a word", phase: running, do: stepEnd, end: lost, reason: "Unknown"},
		{name: "its time is over", phase: terminating, pod: pod(launcher.PodRunning), do: stepDeletePod},
		{name: "its time is over, and its pod is going", phase: terminating, pod: pod(launcher.PodStopping), do: stepNone},
		{name: "its time is over, and its pod is gone", phase: terminating, do: stepEnd, end: terminated, reason: "TimedOut"},
		{name: "its time is over, and its pod ended", phase: terminating, pod: pod(launcher.PodEnded), do: stepEnd, end: terminated, reason: "TimedOut"},
		{name: "over", phase: terminated, do: stepNone},
		{name: "over, and its pod is not", phase: lost, pod: pod(launcher.PodEnded), do: stepDeletePod},
		{name: "over, and its pod is going", phase: failed, pod: pod(launcher.PodStopping), do: stepNone},
		{name: "deleted while it runs", phase: running, deleted: true, pod: pod(launcher.PodRunning), do: stepDeletePod},
		{name: "deleted while its pod starts", phase: creating, deleted: true, pod: pod(launcher.PodPending), do: stepDeletePod},
		{name: "deleted, and its pod is going", phase: running, deleted: true, pod: pod(launcher.PodStopping), do: stepNone},
		{name: "deleted, and its pod is gone", phase: running, deleted: true, do: stepEnd, end: terminated, reason: reasonDeleted},
		{name: "deleted before it had a pod", phase: pending, deleted: true, do: stepEnd, end: terminated, reason: reasonDeleted},
		{name: "deleted, over and gone", phase: terminated, deleted: true, do: stepRelease},
		{name: "deleted after it was lost", phase: lost, deleted: true, pod: pod(launcher.PodEnded), do: stepDeletePod},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sandbox := &llmsafespacev1.Sandbox{Status: llmsafespacev1.SandboxStatus{Phase: tc.phase, Reason: "TimedOut"}}
			if tc.deleted {
				sandbox.DeletionTimestamp = &metav1.Time{Time: now}
			}
			do, end, after := plan(sandbox, tc.pod, ending{lost, "Unknown", ""}, now)
			if do != tc.do || end.phase != tc.end || end.reason != tc.reason || (after > 0) != tc.reminder {
				t.Errorf("step %d, end %+v, after %s", do, end, after)
			}
		})
	}
}

func TestPodNamesAreLabelsAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	names := []string{"one", "one.two", "x" + strings.Repeat(".y", 100), strings.Repeat("z", 253), strings.Repeat("a-", 27) + "b"}
	for _, name := range names {
		for _, uid := range []types.UID{"11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555"} {
			pod := PodName(&llmsafespacev1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid}})
			if errs := validation.IsDNS1123Label(pod); len(errs) > 0 || seen[pod] {
				t.Errorf("sandbox %s has the pod %s: %v", name, pod, errs)
			}
			seen[pod] = true
		}
	}
}

func TestAnEndIsWrittenOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	started := &metav1.Time{Time: now}
	for _, tc := range []struct {
		name   string
		status llmsafespacev1.SandboxStatus
		end    ending
		phase  llmsafespacev1.SandboxPhase
		reason string
	}{
		{"a sandbox that came to run meanwhile was lost, not failed", llmsafespacev1.SandboxStatus{Phase: llmsafespacev1.SandboxRunning, StartTime: started},
			ending{llmsafespacev1.SandboxFailed, "OOMKilled", ""}, llmsafespacev1.SandboxLost, "OOMKilled"},
		{"one whose time ran out meanwhile was terminated, not lost", llmsafespacev1.SandboxStatus{Phase: llmsafespacev1.SandboxTerminating, Reason: "Idle", StartTime: started},
			ending{llmsafespacev1.SandboxLost, "PodDeleted", ""}, llmsafespacev1.SandboxTerminated, "Idle"},
		{"a terminal phase stays", llmsafespacev1.SandboxStatus{Phase: llmsafespacev1.SandboxLost, Reason: "Evicted"},
			ending{llmsafespacev1.SandboxTerminated, "Deleted", ""}, llmsafespacev1.SandboxLost, "Evicted"},
		{"a deleted one says so", llmsafespacev1.SandboxStatus{Phase: llmsafespacev1.SandboxTerminating, Reason: "Idle"},
			ending{llmsafespacev1.SandboxTerminated, reasonDeleted, ""}, llmsafespacev1.SandboxTerminated, reasonDeleted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ended(&tc.status, tc.end, now)
			if tc.status.Phase != tc.phase || tc.status.Reason != tc.reason {
				t.Errorf("%s, %s", tc.status.Phase, tc.status.Reason)
			}
		})
	}
}
