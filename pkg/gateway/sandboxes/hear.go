// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// ackAfter is how much output is taken before it is acknowledged, and chunkCost
// what a chunk counts for beside its bytes; sandboxd counts the same way.
const (
	ackAfter  = 64 << 10
	chunkCost = 128
)

// Capped output comes in a bounded number of pieces: see process.OutputPolicy.
const (
	pieceBytes = 16
	minPieces  = 1024
)

// hear takes what sandboxd says until the process is over, and believes none of it
// that does not fit.
func (r *run) hear(p *pod, l *link, s *sending, startedAt chan<- uint64) (Exit, error) {
	unacknowledged := 0
	next := r.safe() + 1
	for first := true; ; first = false {
		response, err := s.stream.Recv()
		if err != nil {
			return Exit{}, r.classify(err)
		}
		switch m := response.Response.(type) {
		case *sandboxpb.RunResponse_Started:
			if !first {
				return Exit{}, p.misbehaved(l, "process %q started twice", r.id)
			}
			r.started = true
			if r.stdin == nil && r.streams.StdinFrom != nil {
				r.stdin = newStdinSource()
				r.stdin.base = m.Started.StdinReceived // how much of it is read, acknowledgements tell
				go r.stdin.fill(r.streams.StdinFrom(m.Started.StdinReceived))
			}
			if r.stdin != nil && !r.stdin.resume(m.Started.StdinReceived) {
				return Exit{}, p.misbehaved(l, "process %q has stdin that was never sent", r.id)
			}
			startedAt <- m.Started.StdinReceived
			if r.streams.Started != nil && !r.told {
				r.streams.Started(time.Unix(0, m.Started.StartUnixNanos))
			}
			r.told = true
			continue
		case *sandboxpb.RunResponse_NotStarted:
			if !first {
				return Exit{}, p.misbehaved(l, "process %q started and did not start", r.id)
			}
			return Exit{}, &StartError{Reason: m.NotStarted.Reason, Message: bounded(m.NotStarted.Message)}
		}
		if first {
			return Exit{}, p.misbehaved(l, "process %q speaks before it started", r.id)
		}
		switch m := response.Response.(type) {
		case *sandboxpb.RunResponse_Output:
			o := m.Output
			if o.Number != next {
				return Exit{}, p.misbehaved(l, "process %q: chunk %d follows chunk %d", r.id, o.Number, next-1)
			}
			next++
			if o.Number <= r.last {
				continue // handed over before the connection broke, and not safe then
			}
			if err := r.check(o); err != nil {
				return Exit{}, p.misbehaved(l, "process %q: %v", r.id, err)
			}
			stderr := o.Stream == sandboxpb.OutputStream_STDERR
			if err := r.streams.Output(Chunk{Number: o.Number, Stderr: stderr, Offset: o.Offset, Data: o.Data}); err != nil {
				return Exit{}, err
			}
			if r.streams.Kept != nil {
				continue // say acknowledges
			}
			r.keep(o.Number)
			if unacknowledged += len(o.Data) + chunkCost; unacknowledged >= ackAfter {
				unacknowledged = 0
				if err := s.send(&sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_OutputAck{OutputAck: &sandboxpb.OutputAck{Number: o.Number}}}); err != nil {
					return Exit{}, broken(err)
				}
			}
		case *sandboxpb.RunResponse_StdinAck:
			// A terminal has a stdin, whether anything is sent to it or not, and whoever
			// attaches need not go on with what another life has sent.
			if r.stdin == nil && (m.StdinAck.Offset == 0 || r.start == nil) {
				continue
			}
			if r.stdin == nil || !r.stdin.acknowledge(m.StdinAck.Offset, m.StdinAck.Closed) {
				return Exit{}, p.misbehaved(l, "process %q acknowledges stdin that was never sent", r.id)
			}
		case *sandboxpb.RunResponse_Exited:
			return exitOf(m.Exited), nil
		default:
			return Exit{}, p.misbehaved(l, "process %q: an answer of unknown kind", r.id)
		}
	}
}

// check holds a chunk against the ones before it and against the cap.
func (r *run) check(o *sandboxpb.Output) error {
	i := 0
	switch o.Stream {
	case sandboxpb.OutputStream_STDOUT:
	case sandboxpb.OutputStream_STDERR:
		i = 1
	default:
		return errors.New("output of no stream")
	}
	if len(o.Data) == 0 || o.Offset > 1<<62 {
		return errors.New("a chunk without data, or out of range")
	}
	if o.Offset < r.ends[i] {
		return fmt.Errorf("output at offset %d follows output up to %d", o.Offset, r.ends[i])
	}
	r.last = o.Number
	r.totals[i] += uint64(len(o.Data))
	r.ends[i] = o.Offset + uint64(len(o.Data))
	if most := 2 * (max((uint64(r.output.Head)+uint64(r.output.Tail))/pieceBytes, minPieces) + minPieces); r.output.Capped && o.Number > most {
		return fmt.Errorf("chunk %d of output that is capped at %d and %d bytes", o.Number, r.output.Head, r.output.Tail)
	}
	if r.output.Capped && r.totals[i] > uint64(r.output.Head)+uint64(r.output.Tail) {
		return fmt.Errorf("more output than the cap of %d and %d bytes lets through", r.output.Head, r.output.Tail)
	}
	return nil
}

func exitOf(m *sandboxpb.Exited) Exit {
	return Exit{
		Code: int(m.ExitCode), Signal: syscall.Signal(m.Signal), Reason: m.Reason, Message: bounded(m.Message),
		StdoutBytes: m.StdoutBytes, StderrBytes: m.StderrBytes,
		Start: time.Unix(0, m.StartUnixNanos), End: time.Unix(0, m.EndUnixNanos),
		UserTime: time.Duration(m.CpuUserNanos), SystemTime: time.Duration(m.CpuSystemNanos), MaxRSS: m.MaxRssBytes,
	}
}

// bounded cuts a text of sandboxd's to what may go into a status.
func bounded(text string) string {
	const most = 1024
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
