// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/conditions"
)

// change returns a status that has gone on from another.
func change(status llmsafespacev1.SandboxStatus, changes ...func(*llmsafespacev1.SandboxStatus)) llmsafespacev1.SandboxStatus {
	next := *status.DeepCopy()
	for _, f := range changes {
		f(&next)
	}
	return next
}

func TestEventsTellWhatBecameOfASandbox(t *testing.T) {
	t.Parallel()
	now := metav1.Now()
	phase := func(phase llmsafespacev1.SandboxPhase, reason, message string) func(*llmsafespacev1.SandboxStatus) {
		return func(s *llmsafespacev1.SandboxStatus) { s.Phase, s.Reason, s.Message = phase, reason, message }
	}
	ready := func(status metav1.ConditionStatus, reason, message string) func(*llmsafespacev1.SandboxStatus) {
		return func(s *llmsafespacev1.SandboxStatus) {
			conditions.Set(&s.Conditions, llmsafespacev1.SandboxReady, status, reason, message, now.Time)
		}
	}
	intruder := func(at time.Time) func(*llmsafespacev1.SandboxStatus) {
		return func(s *llmsafespacev1.SandboxStatus) {
			s.Conditions = append(slices.Clone(s.Conditions), metav1.Condition{
				Type: llmsafespacev1.SandboxIntruderRefused, Status: metav1.ConditionTrue, Reason: "SecondAgentRefused", Message: "somebody", LastTransitionTime: metav1.NewTime(at),
			})
		}
	}
	bound := func(s *llmsafespacev1.SandboxStatus) { s.PodNamespace, s.PodName = "ns", "box-1" }
	scheduled := func(s *llmsafespacev1.SandboxStatus) { s.NodeName = "node" }
	started := func(s *llmsafespacev1.SandboxStatus) {
		s.StartTime, s.Timings = &now, &llmsafespacev1.SandboxTimings{ReadyMilliseconds: 1234}
	}
	none := llmsafespacev1.SandboxStatus{}
	pending := change(none, phase(llmsafespacev1.SandboxPending, "", ""))
	refused := change(pending, phase(llmsafespacev1.SandboxPending, "QuotaExceeded", "no room"))
	creating := change(pending, phase(llmsafespacev1.SandboxCreating, "", ""), bound)
	running := change(creating, phase(llmsafespacev1.SandboxRunning, "", ""), scheduled, started, ready(metav1.ConditionTrue, "Connected", "it can be used"))
	away := change(running, ready(metav1.ConditionFalse, "Disconnected", "its agent is away"))
	for _, tc := range []struct {
		name     string
		old, new llmsafespacev1.SandboxStatus
		want     []event
	}{
		{"made", none, pending, nil},
		{"refused", pending, refused, []event{{warning, "QuotaExceeded", "no room"}}},
		{"refused once more for the same", refused, change(refused, ready(metav1.ConditionFalse, "QuotaExceeded", "no room")), nil},
		{"bound after it was refused", refused, creating, []event{{normal, "PodBound", "got pod ns/box-1"}}},
		{"its image does not come", creating, change(creating, phase(llmsafespacev1.SandboxCreating, "ErrImagePull", "not found")), []event{{warning, "ErrImagePull", "not found"}}},
		{"running, all at once", pending, running, []event{
			{normal, "PodBound", "got pod ns/box-1"}, {normal, "Scheduled", "its pod is on node node"}, {normal, "Started", "it can be used, 1.234s after its creation"},
		}},
		{"running from its creation on, on a warm pod", none, change(running, func(s *llmsafespacev1.SandboxStatus) { s.WarmPodRef = &llmsafespacev1.ObjectReference{Name: "w"} }), []event{
			{normal, "WarmPodBound", "got warm pod ns/box-1"}, {normal, "Scheduled", "its pod is on node node"}, {normal, "Started", "it can be used, 1.234s after its creation"},
		}},
		{"nothing new", running, change(running, func(s *llmsafespacev1.SandboxStatus) { s.LastActivityTime = &now }), nil},
		{"away", running, away, []event{{warning, "Disconnected", "its agent is away"}}},
		{"back", away, running, []event{{normal, "Reconnected", "it can be used again"}}},
		{"an intruder", running, change(running, intruder(now.Time)), []event{{warning, "SecondAgentRefused", "somebody"}}},
		{"the same one", change(running, intruder(now.Time)), change(running, intruder(now.Time)), nil},
		{"expired", running, change(running, phase(llmsafespacev1.SandboxTerminating, "TimedOut", "its time is over")), []event{{normal, "TimedOut", "it is being ended: its time is over"}}},
		{"over", change(running, phase(llmsafespacev1.SandboxTerminating, "Idle", "unused")), change(running, phase(llmsafespacev1.SandboxTerminated, "Idle", "unused")), []event{{normal, "Terminated", "Idle: unused"}}},
		{"lost", running, change(running, phase(llmsafespacev1.SandboxLost, "OOMKilled", "")), []event{{warning, "Lost", "OOMKilled"}}},
		{"failed", creating, change(creating, phase(llmsafespacev1.SandboxFailed, "AgentNotConnected", "it has not reached the gateway")), []event{{warning, "Failed", "AgentNotConnected: it has not reached the gateway"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := news(&tc.old, &tc.new); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestEventsAreRecorded(t *testing.T) {
	t.Parallel()
	recorder := record.NewFakeRecorder(1)
	lost := &llmsafespacev1.Sandbox{Status: llmsafespacev1.SandboxStatus{Phase: llmsafespacev1.SandboxLost, Reason: "Evicted", Message: "50% is too much"}}
	tell(recorder, &llmsafespacev1.Sandbox{}, lost)
	if got := <-recorder.Events; got != "Warning Lost Evicted: 50% is too much" {
		t.Errorf("%q", got)
	}
}
