// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// detach is how long a process that must not survive is left without us: a gateway
// that died stops it so.
const detach = time.Minute

// bulkWindow is how much output may be on its way.
const bulkWindow = 1 << 20

// mostCap is as high as sandboxd lets either part of a cap be; see process.MaxHead.
const mostCap = 1 << 20

// Run runs a command to its end. A connection that breaks is waited for, and the
// process attached to again.
func (sb *Sandbox) Run(ctx context.Context, c Command, streams Streams) (Exit, error) {
	start := &sandboxpb.Start{
		Id: c.ID, Argv: c.Argv, Env: envVars(c.Env), WorkingDir: c.Dir,
		Stdin:        streams.Stdin != nil,
		TimeoutNanos: int64(c.Timeout), GraceNanos: int64(c.Grace),
		Output: &sandboxpb.OutputPolicy{WindowBytes: bulkWindow},
	}
	if c.TTY != nil {
		start.Tty = &sandboxpb.WindowSize{Rows: c.TTY.Rows, Cols: c.TTY.Cols}
	}
	if c.Output.Capped {
		start.Output = &sandboxpb.OutputPolicy{Mode: sandboxpb.OutputPolicy_CAPPED, HeadBytes: c.Output.Head, TailBytes: c.Output.Tail}
	}
	if c.EndLeftover {
		start.Leftover = sandboxpb.Start_END
	}
	if !c.Survive {
		start.DetachNanos = int64(detach)
	}
	r := &run{id: c.ID, start: start, survive: c.Survive, output: c.Output, streams: streams}
	return sb.run(ctx, r)
}

// Attach goes on with a process that Run started, maybe in another life of the
// gateway, after the last chunk that is safe with the caller. That life may have been
// of another release and set another cap: what any could have set is let through.
func (sb *Sandbox) Attach(ctx context.Context, id string, after uint64, output OutputPolicy, streams Streams) (Exit, error) {
	streams.Stdin = nil
	output.Head, output.Tail = max(output.Head, mostCap), max(output.Tail, mostCap)
	return sb.run(ctx, &run{id: id, last: after, kept: after, survive: true, output: output, streams: streams, started: true})
}

// run is the state of Run over all connections that it needs.
type run struct {
	id      string
	start   *sandboxpb.Start // nil: only attach
	survive bool
	output  OutputPolicy
	streams Streams
	stdin   *stdinSource

	started bool // the process is known to have been started, or to be another's
	told    bool
	last    uint64 // last chunk handed to the caller
	totals  [2]uint64
	ends    [2]uint64 // where the last chunk of each stream ended

	mu   sync.Mutex
	kept uint64 // last chunk that is safe with the caller
}

// keep notes what is safe.
func (r *run) keep(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = max(r.kept, number)
}

// safe is the last chunk that sandboxd need not keep.
func (r *run) safe() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

func (sb *Sandbox) run(ctx context.Context, r *run) (Exit, error) {
	if r.streams.Output == nil {
		r.streams.Output = func(Chunk) error { return nil }
	}
	p, l, leave, err := sb.call(ctx)
	if err != nil {
		return Exit{}, err
	}
	defer leave()
	if r.streams.Stdin != nil {
		r.stdin = newStdinSource()
		go r.stdin.fill(r.streams.Stdin)
	}
	defer func() {
		if r.stdin != nil {
			r.stdin.close()
		}
	}()
	exit, err := sb.overAll(ctx, r, p, l)
	var notStarted *StartError
	if err != nil && !r.survive && !errors.As(err, &notStarted) && !errors.Is(err, errTakenOver) {
		sb.stopLater(p, r.id, r.started)
	}
	return exit, err
}

// overAll goes from connection to connection.
func (sb *Sandbox) overAll(ctx context.Context, r *run, p *pod, l *link) (Exit, error) {
	attach := r.start == nil
	for {
		exit, err := r.over(ctx, p, l, attach)
		switch {
		case err == nil:
			return exit, nil
		case errors.Is(err, errAttachUnknown) && !r.started && r.start != nil:
			attach = false // it never came to be: the id makes sure of at most once
			continue
		case errors.Is(err, errStartKnown):
			attach = true // it did, and the answer was lost
			continue
		case errors.Is(err, errAttachUnknown):
			return Exit{}, fmt.Errorf("%w: the sandbox does not know it any more", ErrLost)
		case !errors.Is(err, errBroken):
			return Exit{}, err
		}
		attach = true
		l.cut(err)
		p.disconnect(l)
		l, err = p.wait(ctx, sb.server.options.ReconnectTimeout)
		if err != nil {
			if ctx.Err() != nil {
				return Exit{}, context.Cause(ctx)
			}
			return Exit{}, fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
}

// stopLater stops a process that nobody waits for any more. If that fails, its
// detach time does it.
func (sb *Sandbox) stopLater(p *pod, id string, started bool) {
	p.server.owned.Go(func() {
		l, _ := p.current()
		if l == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), lastWord)
		defer cancel()
		for wait := 10 * time.Millisecond; ; wait *= 2 {
			_, err := l.processes.Stop(ctx, &sandboxpb.StopRequest{Id: id})
			if started || status.Code(err) != codes.NotFound {
				return
			}
			// It may be about to be started.
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	})
}

var (
	errBroken        = errors.New("the connection broke")
	errAttachUnknown = errors.New("no such process")
	errStartKnown    = errors.New("the process exists")
	// The process is another's from then on, who alone may end it.
	errTakenOver = fmt.Errorf("%w: attached to from elsewhere", ErrLost)
)

// over runs over one connection.
func (r *run) over(ctx context.Context, p *pod, l *link, attach bool) (Exit, error) {
	// The stream outlives the caller's context for its last word, the release.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	released := false
	defer func() {
		if !released {
			cancel()
		}
	}()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	stream, err := l.processes.Run(streamCtx)
	if err != nil {
		return Exit{}, broken(err)
	}
	s := &sending{stream: stream}
	first := &sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_Start{Start: r.start}}
	if attach {
		first.Request = &sandboxpb.RunRequest_Attach{Attach: &sandboxpb.Attach{Id: r.id, After: r.safe()}}
	}
	if err := s.send(first); err != nil {
		// The stream knows better than Send what is wrong with it.
		_, err = stream.Recv()
		return Exit{}, r.classify(err)
	}
	saying, stopSaying := context.WithCancel(ctx)
	said := make(chan struct{})
	startedAt := make(chan uint64, 1)
	go func() {
		defer close(said)
		r.say(saying, s, startedAt)
	}()
	exit, err := r.hear(p, l, s, startedAt)
	stopSaying()
	if err != nil {
		cancel()
		<-said
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Exit{}, err
	}
	if r.streams.Commit != nil {
		if err := r.streams.Commit(exit); err != nil {
			cancel()
			<-said
			return Exit{}, err
		}
	}
	// A sandboxd that takes nothing in any more holds say up no longer than that.
	late := time.AfterFunc(lastWord, cancel)
	<-said
	s.send(&sandboxpb.RunRequest{Request: &sandboxpb.RunRequest_Release{Release: &sandboxpb.Release{}}})
	s.close()
	released = true
	p.server.owned.Go(func() {
		defer cancel()
		defer late.Stop()
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	})
	return exit, nil
}

// lastWord is how long a stream may take to end by itself.
const lastWord = 5 * time.Second

// classify turns the end of a stream into what to do about it.
func (r *run) classify(err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return errAttachUnknown
	case codes.AlreadyExists:
		if r.started {
			return err
		}
		return errStartKnown
	case codes.DataLoss:
		return fmt.Errorf("%w: %s", ErrLost, bounded(status.Convert(err).Message()))
	case codes.Aborted:
		return errTakenOver
	}
	return broken(err)
}

// Interrupted reports whether a call failed because its connection broke: another
// one may do better.
func Interrupted(err error) bool { return errors.Is(broken(err), errBroken) }

// broken marks errors after which another connection may do better.
func broken(err error) error {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled:
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, carriage.ErrConnectionLost) {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return err
}
