// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Reasons of phases and conditions.
const (
	reasonTimedOut      = "TimedOut"
	reasonIdle          = "Idle"
	reasonMisbehaved    = "AgentMisbehaved"
	reasonNotConfigured = "AgentNotConfigured"
	reasonConnected     = "Connected"
	reasonDisconnected  = "Disconnected"
	reasonIntruder      = "SecondAgentRefused"

	defaultTimeout = 300
)

// setReady says whether the sandbox can be used, and whether that is news.
func setReady(sandbox *v1.Sandbox, ready metav1.ConditionStatus, reason, message string, now time.Time) bool {
	return meta.SetStatusCondition(&sandbox.Status.Conditions, metav1.Condition{
		Type: v1.SandboxReady, Status: ready, Reason: reason, Message: message,
		ObservedGeneration: sandbox.Generation, LastTransitionTime: metav1.NewTime(now),
	})
}

// begin makes a sandbox Running, or Ready again if it is that.
func begin(sandbox *v1.Sandbox, created, now time.Time) error {
	status := &sandbox.Status
	switch {
	case over(sandbox):
		return errOver
	case status.Phase == v1.SandboxRunning:
		if !setReady(sandbox, metav1.ConditionTrue, reasonConnected, "the sandbox can be used", now) && status.ExpiresAt != nil {
			return errSame
		}
	default:
		status.Phase, status.Reason, status.Message = v1.SandboxRunning, "", ""
		status.ObservedGeneration = sandbox.Generation
		setReady(sandbox, metav1.ConditionTrue, reasonConnected, "the sandbox can be used", now)
		if status.Timings == nil {
			status.Timings = &v1.SandboxTimings{}
		}
		status.Timings.ReadyMilliseconds = max(now.Sub(created).Milliseconds(), 1)
	}
	if status.StartTime == nil {
		status.StartTime = ptr.To(metav1.NewTime(now))
	}
	status.ExpiresAt = ptr.To(expiry(sandbox))
	return nil
}

// expiry is when the timeout ends a sandbox that has been started.
func expiry(sandbox *v1.Sandbox) metav1.Time {
	timeout := time.Duration(ptr.Deref(sandbox.Spec.Timeout, defaultTimeout)) * time.Second
	return metav1.NewTime(sandbox.Status.StartTime.Add(timeout))
}

func (l *Live) running(ctx context.Context, uid types.UID) {
	l.mu.Lock()
	s := l.sandboxes[uid]
	if s == nil {
		l.mu.Unlock()
		return
	}
	created := s.created
	if created.IsZero() {
		created = s.object.CreationTimestamp.Time
	}
	if s.activity.last.IsZero() {
		s.activity.last = l.Clock.Now()
	}
	l.mu.Unlock()
	err := l.write(ctx, "making a sandbox Running", uid, func(sandbox *v1.Sandbox) error {
		return begin(sandbox, created, l.Clock.Now())
	})
	if err == nil || pointless(err) {
		l.notify(uid)
	}
}

// arm sets the clocks of a Running sandbox. The caller holds mu.
func (l *Live) arm(s *tracked) {
	object := s.object
	uid := object.UID
	if object.Status.StartTime == nil || object.Status.ExpiresAt == nil {
		return
	}
	wanted := expiry(object)
	if !wanted.Equal(object.Status.ExpiresAt) {
		// spec.timeout has changed.
		l.taskLocked(func(ctx context.Context) {
			_ = l.write(ctx, "moving the end of a sandbox", uid, func(sandbox *v1.Sandbox) error {
				if sandbox.Status.StartTime == nil || over(sandbox) || ptr.To(expiry(sandbox)).Equal(sandbox.Status.ExpiresAt) {
					return errSame
				}
				sandbox.Status.ExpiresAt = ptr.To(expiry(sandbox))
				sandbox.Status.ObservedGeneration = sandbox.Generation
				return nil
			})
		})
	}
	if s.expiry == nil || !s.expiresAt.Equal(wanted.Time) {
		stop(s.expiry)
		s.expiresAt = wanted.Time
		s.expiry = l.after(wanted.Sub(l.Clock.Now()), func(ctx context.Context) { l.expire(ctx, uid) })
	}
	l.armIdle(s)
}

// expire ends a sandbox whose time is over.
func (l *Live) expire(ctx context.Context, uid types.UID) {
	_ = l.write(ctx, "ending a sandbox whose time is over", uid, func(sandbox *v1.Sandbox) error {
		now := l.Clock.Now()
		if over(sandbox) || sandbox.Status.StartTime == nil {
			return errOver
		}
		if ptr.To(expiry(sandbox)).After(now) {
			return errSame // it was given more
		}
		terminate(sandbox, reasonTimedOut, fmt.Sprintf("the timeout of %d s is over", ptr.Deref(sandbox.Spec.Timeout, defaultTimeout)), now)
		return nil
	})
}

// terminate has the controller end the sandbox.
func terminate(sandbox *v1.Sandbox, reason, message string, now time.Time) {
	sandbox.Status.Phase, sandbox.Status.Reason, sandbox.Status.Message = v1.SandboxTerminating, reason, message
	setReady(sandbox, metav1.ConditionFalse, reason, message, now)
}

// end ends a sandbox for what the launcher cannot see.
func (l *Live) end(ctx context.Context, uid types.UID, phase v1.SandboxPhase, reason, message string) {
	_ = l.write(ctx, "ending a sandbox", uid, func(sandbox *v1.Sandbox) error {
		now := l.Clock.Now()
		status := &sandbox.Status
		status.Phase, status.Reason, status.Message = phase, reason, message
		status.CompletionTime = ptr.To(metav1.NewTime(now))
		setReady(sandbox, metav1.ConditionFalse, reason, message, now)
		return nil
	})
}

// watchAway says after a while that a sandbox is away. The caller holds mu.
func (l *Live) watchAway(s *tracked, grace time.Duration) {
	if s.connected || over(s.object) {
		return
	}
	stop(s.away)
	uid := s.object.UID
	s.away = l.after(grace, func(ctx context.Context) { l.sayAway(ctx, uid) })
}

func (l *Live) sayAway(ctx context.Context, uid types.UID) {
	message := "the sandbox's agent is not connected"
	l.mu.Lock()
	s := l.sandboxes[uid]
	if s == nil || s.connected {
		l.mu.Unlock()
		return
	}
	if s.reason != nil {
		message += ": " + s.reason.Error()
	}
	l.mu.Unlock()
	_ = l.write(ctx, "saying that a sandbox is away", uid, func(sandbox *v1.Sandbox) error {
		if sandbox.Status.Phase != v1.SandboxRunning || over(sandbox) || l.isConnected(uid) ||
			!setReady(sandbox, metav1.ConditionFalse, reasonDisconnected, message, l.Clock.Now()) {
			return errSame
		}
		return nil
	})
	// It may have come back while that was written.
	if binding, ok := l.Bindings.ByOwner(uid); ok && l.isConnected(uid) {
		l.welcome(ctx, binding)
	}
}

func (l *Live) isConnected(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sandboxes[uid]
	return s != nil && s.connected
}

// reportIntruder writes down that somebody else spoke for the sandbox, once a
// minute at most.
func (l *Live) reportIntruder(ctx context.Context, uid types.UID, reason error) {
	_ = l.write(ctx, "reporting a second agent", uid, func(sandbox *v1.Sandbox) error {
		now := l.Clock.Now()
		old := meta.FindStatusCondition(sandbox.Status.Conditions, v1.SandboxIntruderRefused)
		if old != nil && now.Sub(old.LastTransitionTime.Time) < activityInterval {
			return errSame
		}
		meta.RemoveStatusCondition(&sandbox.Status.Conditions, v1.SandboxIntruderRefused)
		meta.SetStatusCondition(&sandbox.Status.Conditions, metav1.Condition{
			Type: v1.SandboxIntruderRefused, Status: metav1.ConditionTrue, Reason: reasonIntruder,
			Message:            "somebody else has the token of this sandbox's pod and was refused: " + reason.Error(),
			ObservedGeneration: sandbox.Generation, LastTransitionTime: metav1.NewTime(now),
		})
		return nil
	})
}
