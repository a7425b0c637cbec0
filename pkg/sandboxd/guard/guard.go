// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"os"
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
	// Yield puts a process behind sandboxd. It is called for all that there are when
	// many have begun, and only by PID 1, whose namespace has the guest's alone.
	Yield func(pid int)
	// Looked is called after looks, which leave garbage where there is no cgroup. It
	// may be nil.
	Looked func()
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
	// forkRate is about what one processor makes of small processes. A bomb may be
	// faster and pass its line within a look; it is ended all the same, and less of
	// it is cheaper to end.
	forkRate = 20_000 // a second
	// shortest and longest time between looks.
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
	yield    func(pid int)
	looked   func()
	source   source
	woken    chan struct{}

	mu     sync.Mutex
	memory uint64 // given limits
	pids   uint64
	usage  Usage
	ended  time.Time // when a guest was ended last

	exhausted sync.Mutex
	asked     time.Time // when Exhausted looked last, guarded by exhausted
}

// leastGuest is how many processes and threads a guest has at least that is ended
// because there are none left. One with fewer is not why.
const leastGuest = 64

// endTime is how long guests that were ended take to give back their pids.
const endTime = time.Second

// exhaustedPause lies between two looks of Exhausted.
const exhaustedPause = 50 * time.Millisecond

// New makes a guard. Run must be called for it to watch.
func New(o Options) *Guard {
	if o.HasGuest == nil {
		o.HasGuest = func() bool { return true }
	}
	if o.Looked == nil {
		o.Looked = func() {}
	}
	if os.Getpid() != 1 {
		o.Yield = nil
	}
	return &Guard{
		end: o.EndGuest, hasGuest: o.HasGuest, yield: o.Yield, looked: o.Looked, woken: make(chan struct{}, 1),
		source: findSource(o.CgroupDir, o.TmpfsApart), memory: o.MemoryLimit, pids: o.PidsLimit,
	}
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
func (g *Guard) Usage() Usage { return g.look(true) }

// Exhausted is told that the kernel has no process left for this sandbox, whose
// limit may lie where nobody inside sees it. It reports whether the guest had them,
// and was ended.
func (g *Guard) Exhausted() bool {
	// Many may say so at once, and whoever reads a file holds a thread: there are no
	// new ones now.
	g.exhausted.Lock()
	defer g.exhausted.Unlock()
	if time.Since(g.asked) < exhaustedPause {
		return false
	}
	g.asked = time.Now()
	used, _ := g.source.pids(0)
	g.mu.Lock()
	since := time.Since(g.ended)
	g.mu.Unlock()
	// Those that were just ended still have theirs.
	if own := threads("/proc", os.Getpid()); used < own+leastGuest || since < endTime {
		return false
	}
	g.endGuest(Pids, fmt.Sprintf("pids: %d in use and none left, the guest is ended", used))
	return true
}

func (g *Guard) endGuest(reason Reason, message string) {
	g.end(reason, message)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = time.Now()
	g.usage.Kills++
	g.usage.LastReason = message
}

// Run watches until ctx is over.
func (g *Guard) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	// At first there is nobody: a sandbox that has just started looks for a guest
	// before it looks for what that uses.
	var seen, asked time.Time
	resting := false
	for {
		select {
		case <-timer.C:
		case <-g.woken:
			seen = time.Now()
			if !resting {
				continue // the next look is due before anybody can have come to a line
			}
			resting = false
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
				resting = true
				continue
			}
		}
		if !g.limited() {
			timer.Reset(longest)
			continue
		}
		usage := g.look(false)
		if reason, message := verdict(usage); reason != 0 {
			g.endGuest(reason, message)
			usage = g.settle(ctx)
		} else if g.yield != nil {
			g.source.inBurst(g.yield)
		}
		g.looked()
		timer.Reset(pause(usage))
	}
}

// settle waits until the dead have given back what they had, so that they do not
// cost the life of the next.
func (g *Guard) settle(ctx context.Context) Usage {
	deadline := time.Now().Add(settleTime)
	for {
		usage := g.look(false)
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

// look reads usage and limits. If it need not be exact, pids below their line, and
// memory that is far from its, are what there is at most, and nothing but pids is looked at once they are
// beyond it: the guest has to be ended, and the time for it is short.
func (g *Guard) look(exact bool) Usage {
	g.mu.Lock()
	given, givenMemory := g.pids, g.memory
	g.mu.Unlock()
	enough := line(given)
	if exact {
		enough = 0
	}
	pids, pidsLimit := g.source.pids(enough)
	pidsLimit = lower(pidsLimit, given)
	var memory, memoryLimit uint64
	known := exact || !over(pids, pidsLimit)
	if known {
		memory, memoryLimit = g.source.memory(func(limit uint64) uint64 {
			if exact {
				return 0
			}
			return far(line(lower(limit, givenMemory)))
		})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.usage.Pids, g.usage.PidsLimit = pids, pidsLimit
	if known {
		g.usage.Memory, g.usage.MemoryLimit = memory, lower(memoryLimit, g.memory)
	}
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
	case over(u.Pids, u.PidsLimit):
		return Pids, fmt.Sprintf("pids: %d of %d in use, the guest is ended at %d %%", u.Pids, u.PidsLimit, linePercent)
	case over(u.Memory, u.MemoryLimit):
		return Memory, fmt.Sprintf("memory: %d of %d bytes in use, the guest is ended at %d %%", u.Memory, u.MemoryLimit, linePercent)
	}
	return 0, ""
}

func over(used, limit uint64) bool { return limit != 0 && used >= line(limit) }

// line is where a guest is ended.
func line(limit uint64) uint64 { return limit/100*linePercent + limit%100*linePercent/100 }

// pause is how long no guest can have come to a line, or hardly.
func pause(u Usage) time.Duration {
	d := min(until(u.Memory, u.MemoryLimit, fillRate), until(u.Pids, u.PidsLimit, forkRate))
	return min(max(d, shortest), longest)
}

// far is the most memory that is so far from its line that the next look may be as
// late as any.
func far(line uint64) uint64 {
	const reach = fillRate / uint64(time.Second/longest)
	return max(line, reach) - reach
}

// until is how long it takes at a rate from what is used to the line.
func until(used, limit uint64, rate float64) time.Duration {
	switch most := line(limit); {
	case limit == 0:
		return longest
	case used >= most:
		return 0
	default:
		return time.Duration(min(float64(most-used)/rate, 1) * float64(time.Second))
	}
}
