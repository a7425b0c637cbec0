// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// activityInterval is how often activity is written down at most.
const activityInterval = time.Minute

// activity is what goes on in one sandbox.
type activity struct {
	open    int       // calls that are under way
	last    time.Time // when something was last seen to go on
	written time.Time // what status says of it
	// left says that a look found processes that no call is waiting for.
	left  bool
	timer clock.Timer // the next look
	idle  time.Duration
}

// look is how long after the last call, and after each look that found processes
// left behind, the sandbox is looked at again.
func look(idle time.Duration) time.Duration {
	return min(max(idle/10, time.Second), 30*time.Second)
}

// use counts a call, until the func is called.
func (l *Live) use(s *tracked) (done func()) {
	s.activity.open++
	s.activity.last = l.Clock.Now()
	stop(s.activity.timer)
	s.activity.timer = nil
	called := false
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if called {
			return
		}
		called = true
		s.activity.open--
		s.activity.last = l.Clock.Now()
		l.armIdle(s)
	}
}

// armIdle sets the next look at whether the sandbox is idle. The caller holds mu.
func (l *Live) armIdle(s *tracked) {
	a := &s.activity
	idle := time.Duration(ptr.Deref(s.object.Spec.IdleTimeout, 0)) * time.Second
	if idle == 0 || a.open > 0 || s.object.Status.Phase != v1.SandboxRunning || over(s.object) {
		stop(a.timer)
		a.timer, a.idle = nil, idle
		return
	}
	if a.timer != nil && a.idle == idle {
		return
	}
	if a.last.IsZero() {
		// Another process knew more; what it wrote down may be a minute old, and
		// a sandbox is not ended for that.
		a.last = l.Clock.Now()
	}
	stop(a.timer)
	a.idle = idle
	uid := s.object.UID
	a.timer = l.after(min(look(idle), idle), func(ctx context.Context) { l.look(ctx, uid) })
}

// look finds out whether a sandbox is idle, and since when.
func (l *Live) look(ctx context.Context, uid types.UID) {
	l.mu.Lock()
	s := l.sandboxes[uid]
	if s == nil || s.activity.open > 0 || s.activity.timer == nil {
		l.mu.Unlock()
		return
	}
	pod, idle := s.pod, s.activity.idle
	l.mu.Unlock()

	busy := l.busy(ctx, pod)

	l.mu.Lock()
	a := &s.activity
	now := l.Clock.Now()
	if a.open > 0 || a.timer == nil {
		l.mu.Unlock()
		return
	}
	if busy || a.left {
		a.last = now // at the latest
	}
	a.left = busy
	left := a.last.Add(idle).Sub(now)
	if left > 0 {
		next := left
		if busy {
			next = min(look(idle), left)
		}
		a.timer = l.after(next, func(ctx context.Context) { l.look(ctx, uid) })
		l.mu.Unlock()
		return
	}
	a.timer = nil
	l.mu.Unlock()
	_ = l.write(ctx, "ending an idle sandbox", uid, func(sandbox *v1.Sandbox) error {
		if over(sandbox) || sandbox.Status.Phase != v1.SandboxRunning {
			return errOver
		}
		l.mu.Lock()
		open, last := a.open, a.last
		l.mu.Unlock()
		idle := time.Duration(ptr.Deref(sandbox.Spec.IdleTimeout, 0)) * time.Second
		if now := l.Clock.Now(); open == 0 && idle > 0 && now.Sub(last) >= idle {
			terminate(sandbox, reasonIdle, fmt.Sprintf("nothing ran, came or went for %s", idle), now)
			return nil
		}
		return errSame
	})
	l.mu.Lock()
	l.armIdle(s)
	l.mu.Unlock()
}

// busy asks sandboxd whether processes are left in the sandbox. One that cannot be
// asked has nobody who runs anything in it.
func (l *Live) busy(ctx context.Context, pod types.UID) bool {
	connection := l.connection(pod)
	if connection == nil || !connection.Connected() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	health, err := connection.Health(ctx)
	return err == nil && health.GuestProcesses > 0
}

// writeActivity writes down what went on since the last time.
func (l *Live) writeActivity() {
	now := l.Clock.Now()
	type news struct {
		uid  types.UID
		last time.Time
	}
	var all []news
	l.mu.Lock()
	for uid, s := range l.sandboxes {
		a := &s.activity
		if a.open > 0 {
			a.last = now
		}
		if s.object.Status.Phase == v1.SandboxRunning && a.last.Sub(a.written) >= time.Second {
			all = append(all, news{uid, a.last})
			a.written = a.last
		}
	}
	l.mu.Unlock()
	if len(all) == 0 {
		return
	}
	l.task(func(ctx context.Context) {
		for _, n := range all {
			_ = l.write(ctx, "writing activity down", n.uid, func(sandbox *v1.Sandbox) error {
				if old := sandbox.Status.LastActivityTime; over(sandbox) || old != nil && !old.Time.Before(n.last.Truncate(time.Second)) {
					return errSame
				}
				sandbox.Status.LastActivityTime = ptr.To(metav1.NewTime(n.last))
				return nil
			})
		}
	})
}
