// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"

// Observer is told what happens to sandboxes, once it is durable, each of it once
// in the life of this process. Its methods may neither block nor call Live.
type Observer interface {
	SandboxCreated(sandbox *v1.Sandbox)
	// SandboxStarted: it became Running, maybe as it was created.
	SandboxStarted(sandbox *v1.Sandbox)
	// SandboxEnded: it has its terminal phase.
	SandboxEnded(sandbox *v1.Sandbox)
	// SandboxDeleted: the object is gone.
	SandboxDeleted(sandbox *v1.Sandbox)
}

type nobody struct{}

func (nobody) SandboxCreated(*v1.Sandbox) {}
func (nobody) SandboxStarted(*v1.Sandbox) {}
func (nobody) SandboxEnded(*v1.Sandbox)   {}
func (nobody) SandboxDeleted(*v1.Sandbox) {}

// observed tells the observer what became of a sandbox: old is nil if it is new, or
// was there before this process was.
func (l *Live) observed(old, object *v1.Sandbox, made bool) {
	if made {
		l.Observer.SandboxCreated(object)
	} else if old == nil {
		return
	}
	was := v1.SandboxPhase("")
	if old != nil {
		was = old.Status.Phase
	}
	phase := object.Status.Phase
	if phase == v1.SandboxRunning && was != phase {
		l.Observer.SandboxStarted(object)
	}
	if phase.Terminal() && !was.Terminal() {
		l.Observer.SandboxEnded(object)
	}
}

// Counts are numbers of sandboxes that are not over.
type Counts struct {
	// Pending ones cannot be used yet, Disconnected ones are Running and away.
	Pending, Running, Disconnected, Terminating int
}

// Counts counts the sandboxes.
func (l *Live) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c Counts
	for _, s := range l.sandboxes {
		switch phase := s.object.Status.Phase; {
		case phase.Terminal():
		case phase == v1.SandboxRunning:
			c.Running++
			if !s.connected {
				c.Disconnected++
			}
		case phase == v1.SandboxTerminating:
			c.Terminating++
		default:
			c.Pending++
		}
	}
	return c
}
