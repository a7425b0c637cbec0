// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
	"k8s.io/client-go/tools/remotecommand"
)

// descriptor of a terminal. Whatever else there is has none.
func terminal(stream any) (descriptor int, ok bool) {
	file, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

// raw hands every key of the terminal through, and returns what puts it back.
func raw(descriptor int) (restore func(), err error) {
	before, err := term.MakeRaw(descriptor)
	if err != nil {
		return nil, err
	}
	return func() { _ = term.Restore(descriptor, before) }, nil
}

// sizes are the sizes of a terminal, the present one first.
type sizes struct {
	ctx     context.Context
	changed chan os.Signal
	screen  int
	first   bool
}

// sizesOf watches a terminal until ctx ends.
func sizesOf(ctx context.Context, screen int) *sizes {
	s := &sizes{ctx: ctx, changed: make(chan os.Signal, 1), screen: screen, first: true}
	signal.Notify(s.changed, syscall.SIGWINCH)
	context.AfterFunc(ctx, func() { signal.Stop(s.changed) })
	return s
}

// Next waits for another size; nil is the end.
func (s *sizes) Next() *remotecommand.TerminalSize {
	for {
		if !s.first {
			select {
			case <-s.ctx.Done():
				return nil
			case <-s.changed:
			}
		}
		s.first = false
		if width, height, err := term.GetSize(s.screen); err == nil {
			return &remotecommand.TerminalSize{Width: uint16(width), Height: uint16(height)}
		}
	}
}
