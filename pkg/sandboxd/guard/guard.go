// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Reason says which limit.
type Reason int

const (
	Memory Reason = iota + 1
	Pids
)

// Options of a Guard.
type Options struct {
	// MemoryLimit in bytes and PidsLimit; zero is none but the cgroup's.
	MemoryLimit, PidsLimit uint64
	// CgroupDir is where to look for the cgroup's files; default: the usual places.
	CgroupDir string
	// TmpfsApart does not count what lies in tmpfs.
	TmpfsApart bool
	// EndGuest kills the guest and says how many processes of ours that were.
	EndGuest func(reason Reason, message string) int
	// HasGuest reports whether any process is there but sandboxd itself. While
	// there is none the guard rests, until Wake. Nil: there always is one.
	HasGuest func() bool
}

// Usage is what the guard saw last.
type Usage struct {
	Memory, MemoryLimit uint64
	Pids, PidsLimit     uint64
	Kills               uint32
	LastReason          string
}

const (
	// line is the part of a limit at which the guest is ended.
	linePercent = 90
	// fillRate is faster than a machine zeroes pages for one cgroup.
	fillRate = 8 << 30 // bytes a second
	// shortest and longest time between looks. pids have no rate: a fork bomb
	// fills any limit within a look, which is why fork itself must be able to fail.
	shortest = time.Millisecond
	longest  = 50 * time.Millisecond
	// settleTime is how long killed processes may take to be gone.
	settleTime = 500 * time.Millisecond
	// lull is how long the guard goes on without a guest: longer than a process
	// that was announced takes to be there.
	lull = time.Second
)

// Guard watches the limits.
type Guard struct {
	end      func(Reason, string) int
	hasGuest func() bool
	source   source
	woken    chan struct{}

	mu     sync.Mutex
	memory uint64 // given limits
	pids   uint64
	usage  Usage
}

// New makes a guard. Run must be called for it to watch.
func New(o Options) *Guard {
	if o.HasGuest == nil {
		o.HasGuest = func() bool { return true }
	}
	return &Guard{end: o.EndGuest, hasGuest: o.HasGuest, woken: make(chan struct{}, 1), source: findSource(o.CgroupDir, o.TmpfsApart), memory: o.MemoryLimit, pids: o.PidsLimit}
}

// Wake is told before a guest's process is started.
func (g *Guard) Wake() {
	select {
	case g.woken <- struct{}{}:
	default:
	}
}

// SetLimits changes the given limits; zero leaves one.
func (g *Guard) SetLimits(memory, pids uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if memory != 0 {
		g.memory = memory
	}
	if pids != 0 {
		g.pids = pids
	}
}

// Usage looks, and returns what it saw.
func (g *Guard) Usage() Usage {
	g.look()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.usage
}

// Run watches until ctx is over.
func (g *Guard) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	// At first there is nobody: a sandbox that has just started looks for a guest
	// before it looks for what that uses.
	var seen, asked time.Time
	for {
		select {
		case <-timer.C:
		case <-g.woken:
			seen = time.Now()
		case <-ctx.Done():
			return ctx.Err()
		}
		// A sandbox that waits for its first process, or for a user, has nobody
		// who could fill it, and there are many of them on a machine.
		if now := time.Now(); now.Sub(asked) >= lull/2 {
			if asked = now; g.hasGuest() {
				seen = now
			} else if now.Sub(seen) >= lull {
				timer.Stop()
				continue
			}
		}
		if !g.limited() {
			timer.Reset(longest)
			continue
		}
		usage := g.look()
		if reason, message := verdict(usage); reason != 0 {
			g.end(reason, message)
			g.mu.Lock()
			g.usage.Kills++
			g.usage.LastReason = message
			g.mu.Unlock()
			usage = g.settle(ctx)
		}
		timer.Reset(pause(usage))
	}
}

// settle waits until the dead have given back what they had, so that they do not
// cost the life of the next.
func (g *Guard) settle(ctx context.Context) Usage {
	deadline := time.Now().Add(settleTime)
	for {
		usage := g.look()
		if reason, _ := verdict(usage); reason == 0 || time.Now().After(deadline) || ctx.Err() != nil {
			return usage
		}
		time.Sleep(shortest)
	}
}

// limited reports whether there is any limit to watch.
func (g *Guard) limited() bool {
	if g.source.limited() {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory != 0 || g.pids != 0
}

// look reads usage and limits.
func (g *Guard) look() Usage {
	memory, memoryLimit := g.source.memory()
	pids, pidsLimit := g.source.pids()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.usage.Memory, g.usage.MemoryLimit = memory, lower(memoryLimit, g.memory)
	g.usage.Pids, g.usage.PidsLimit = pids, lower(pidsLimit, g.pids)
	return g.usage
}

// lower of two limits, of which zero is none.
func lower(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// verdict says whether the guest has gone too far.
func verdict(u Usage) (Reason, string) {
	switch {
	case over(u.Memory, u.MemoryLimit):
		return Memory, fmt.Sprintf("memory: %d of %d bytes in use, the guest is ended at %d %%", u.Memory, u.MemoryLimit, linePercent)
	case over(u.Pids, u.PidsLimit):
		return Pids, fmt.Sprintf("pids: %d of %d in use, the guest is ended at %d %%", u.Pids, u.PidsLimit, linePercent)
	}
	return 0, ""
}

func over(used, limit uint64) bool {
	return limit != 0 && used >= limit/100*linePercent+limit%100*linePercent/100
}

// pause is how long no guest can have come to the line.
func pause(u Usage) time.Duration {
	if u.MemoryLimit == 0 {
		return longest
	}
	line := u.MemoryLimit / 100 * linePercent
	if u.Memory >= line {
		return shortest
	}
	return min(max(time.Duration(float64(line-u.Memory)/fillRate*float64(time.Second)), shortest), longest)
}
