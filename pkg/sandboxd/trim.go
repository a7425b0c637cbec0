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

// A sandbox is idle for most of its life, and a machine has many of them.
const (
	trimAfterStart = time.Second
	trimEvery      = 15 * time.Second
	gcPercent      = 50
)

// calls counts the calls that leave memory behind: all but those on sandboxd itself.
type calls struct {
	begun atomic.Uint64
	open  atomic.Int64
}

func (c *calls) count(method string) (done func()) {
	if strings.HasPrefix(method, "/"+sandboxpb.Agent_ServiceDesc.ServiceName+"/") {
		return func() {}
	}
	c.begun.Add(1)
	c.open.Add(1)
	return func() { c.open.Add(-1) }
}

func (c *calls) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			defer c.count(info.FullMethod)()
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			defer c.count(info.FullMethod)()
			return handle(server, stream)
		}),
	}
}

// trim gives back memory that the start and calls have left behind: once after the
// start, and whenever there have been calls since and none is open.
func trim(ctx context.Context, c *calls) {
	// The heap is small: half of the usual slack saves 2 MB, and costs nothing that
	// can be measured.
	debug.SetGCPercent(gcPercent)
	timer := time.NewTimer(trimAfterStart)
	defer timer.Stop()
	last := ^uint64(0)
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if begun := c.begun.Load(); begun != last && c.open.Load() == 0 {
			last = begun
			collect()
			dropCode()
		}
		timer.Reset(trimEvery)
	}
}

// collect collects twice: a pool lets go of what it holds in the second collection
// after its last use. One who sweeps yields after each span, and each time that
// wakes a second processor for nothing, which costs ten times what the sweep does: so
// there is none meanwhile.
func collect() {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	debug.FreeOSMemory()
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
