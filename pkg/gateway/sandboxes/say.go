// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"io"
	"sync"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// sending lets several goroutines send on one stream.
type sending struct {
	stream sandboxpb.Processes_RunClient
	mu     sync.Mutex
	closed bool
}

func (s *sending) send(m *sandboxpb.RunRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return io.EOF
	}
	return s.stream.Send(m)
}

func (s *sending) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.stream.CloseSend()
	}
}

// say sends stdin, sizes, signals and what is safe until ctx is over. Errors of the stream show
// on its other side.
func (r *run) say(ctx context.Context, s *sending, startedAt <-chan uint64) {
	var stdin <-chan struct{}
	var offset uint64
	select {
	case offset = <-startedAt:
	case <-ctx.Done():
		return
	}
	resize, signals, kept := r.streams.Resize, r.streams.Signals, r.streams.Kept
	for {
		if r.stdin != nil {
			var data []byte
			var eof, done bool
			data, eof, done, stdin = r.stdin.after(offset)
			if len(data) > 0 || eof {
				if s.send(&sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_Stdin{Stdin: &sandboxpb.Stdin{Offset: offset, Data: data, Eof: eof}}}) != nil {
					return
				}
				offset += uint64(len(data))
				if !eof {
					continue
				}
			}
			if eof || done {
				stdin = nil
			}
			if eof {
				offset = 1 << 63 // nothing comes after it
			}
		}
		select {
		case <-stdin:
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			s.send(&sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_Resize{Resize: &sandboxpb.WindowSize{Rows: size.Rows, Cols: size.Cols}}})
		case signal, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			s.send(&sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_Signal{Signal: &sandboxpb.Signal{Signal: int32(signal)}}})
		case number, ok := <-kept:
			if !ok {
				kept = nil
				continue
			}
			r.keep(number)
			s.send(&sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_OutputAck{OutputAck: &sandboxpb.OutputAck{Number: number}}})
		case <-ctx.Done():
			return
		}
	}
}
