// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// restAfter is how long nothing is asked of sandboxd before it gives back memory. A
// sandbox is idle for most of its life, and a machine has many of them.
const restAfter = time.Second

// activity is what is asked of sandboxd. Asking for its health is not: that is done
// again and again, and leaves next to nothing behind.
type activity struct {
	collector *collector
	last      atomic.Int64 // when, in nanoseconds
	resting   atomic.Bool
	woken     chan struct{}
}

func newActivity(c *collector) *activity {
	a := &activity{collector: c, woken: make(chan struct{}, 1)}
	a.stir()
	return a
}

// stir notes that something was asked.
func (a *activity) stir() {
	a.collector.tell()
	a.last.Store(time.Now().UnixNano())
	if a.resting.CompareAndSwap(true, false) {
		select {
		case a.woken <- struct{}{}:
		default:
		}
	}
}

func (a *activity) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if info.FullMethod != sandboxpb.Agent_Health_FullMethodName {
				a.stir()
				defer a.stir()
			}
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			defer a.stir()
			return handle(server, stirring{stream, a})
		}),
	}
}

// stirring is a stream of which every message is activity. The stream alone is none:
// most of those that are open for long belong to processes that say nothing.
type stirring struct {
	grpc.ServerStream
	activity *activity
}

func (s stirring) SendMsg(m any) error {
	s.activity.stir()
	return s.ServerStream.SendMsg(m)
}

func (s stirring) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	s.activity.stir()
	return err
}

// trim gives back, once whenever sandboxd has come to rest, what its start and calls
// have left behind, which stops all threads for a moment. At rest it does nothing.
func trim(ctx context.Context, a *activity, undisturbed func(func())) {
	timer := time.NewTimer(restAfter)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.woken:
		case <-ctx.Done():
			return
		}
		last := a.last.Load()
		if wait := restAfter - time.Since(time.Unix(0, last)); wait > 0 {
			timer.Reset(min(wait, restAfter)) // the clock may have been set
			continue
		}
		undisturbed(giveBack)
		a.resting.Store(true)
		if a.last.Load() != last && a.resting.CompareAndSwap(true, false) {
			timer.Reset(restAfter)
		}
	}
}

func giveBack() {
	// A collection that is waited for yields after each span that it sweeps, and where
	// there is another processor wakes a thread for it each time: most of what this
	// costs, for nothing, since nothing else is to be done.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	// A pool lets go of what it holds in the second collection after its last use;
	// freeing is one, too.
	runtime.GC()
	debug.FreeOSMemory()
	dropCode()
}

// dropCode unmaps the pages of the binary, most of which are of initialisation that
// is over. What is needed comes back from the page cache by a minor fault.
//
// That holds for a static binary, as sandboxd is built. A loader writes to pages
// before it makes them read-only (RELRO), and those would come back unrelocated: of
// a binary that has one, nothing is dropped.
func dropCode() {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	type span struct{ from, to uintptr }
	var code []span
	for line := range strings.Lines(string(maps)) {
		line = strings.TrimSuffix(line, "\n")
		var s span
		var permissions string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &s.from, &s.to, &permissions); err != nil {
			continue
		}
		switch {
		case !strings.Contains(line, "/"):
		case !strings.HasSuffix(line, own):
			return
		case permissions[1] == '-': // nobody can have written to it: the file has all of it
			code = append(code, s)
		}
	}
	for _, s := range code {
		unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED)
	}
}
