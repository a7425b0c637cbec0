// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// A Command is what Run runs.
type Command struct {
	// ID names the process in its sandbox. It is run at most once.
	ID   string
	Argv []string
	Env  []EnvVar
	Dir  string
	// TTY gives it a terminal.
	TTY *WindowSize
	// Output: without a cap, nothing is lost and a reader that does not read makes
	// the process wait.
	Output OutputPolicy
	// Timeout ends it with exit code 124; zero is none. Grace lies between SIGTERM
	// and SIGKILL; zero is sandboxd's default.
	Timeout, Grace time.Duration
	// Survive keeps it running when Run's context ends, or the gateway. Otherwise
	// it is stopped.
	Survive bool
	// EndLeftover ends what is left of its process group when it has exited.
	EndLeftover bool
}

// OutputPolicy caps each stream at Head bytes from its beginning and Tail bytes
// from its end, if it is Capped.
type OutputPolicy struct {
	Capped     bool
	Head, Tail uint32
}

// WindowSize of a terminal.
type WindowSize struct{ Rows, Cols uint32 }

// A Chunk of output. Numbers are 1, 2, 3 … without a hole, over both streams.
// Offset counts what a cap dropped.
type Chunk struct {
	Number uint64
	Stderr bool
	Offset uint64
	Data   []byte
}

// Streams of a command.
type Streams struct {
	// Stdin may be nil. It is read by a goroutine of its own, which ends when Read
	// returns after Run has: the caller sees to that.
	Stdin io.Reader
	// StdinFrom is Stdin of Attach: it reads the same stdin from an offset on, which
	// is what sandboxd says it has, bounded by nothing. It may be nil.
	StdinFrom func(offset uint64) io.Reader
	// Output gets every chunk once, in order, and keeps none of its data. An error
	// ends Run.
	Output func(Chunk) error
	// Kept says up to which number the chunks are safe with the caller. Without it
	// each is when Output returns. What is not safe, sandboxd keeps.
	Kept <-chan uint64
	// Commit is called with the exit before sandboxd forgets the process. If it
	// fails, that is Run's error, and the process can be attached to again.
	Commit func(Exit) error
	// Started is called once with the time of the start; it may be nil.
	Started func(time.Time)
	// Resize and Signals may be nil.
	Resize  <-chan WindowSize
	Signals <-chan syscall.Signal
}

// Exit is the end of a process.
type Exit struct {
	Code                     int
	Signal                   syscall.Signal
	Reason                   sandboxpb.Exited_Reason
	Message                  string
	StdoutBytes, StderrBytes uint64
	Start, End               time.Time
	UserTime, SystemTime     time.Duration
	MaxRSS                   uint64
}

// A StartError says that the process was not started, and why.
type StartError struct {
	Reason  sandboxpb.NotStarted_Reason
	Message string
}

func (e *StartError) Error() string { return e.Message }

// detach is how long a process that must not survive is left without us: a gateway
// that died stops it so.
const detach = time.Minute

// bulkWindow is how much output may be on its way.
const bulkWindow = 1 << 20

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
// gateway, after the last chunk that is safe with the caller.
func (sb *Sandbox) Attach(ctx context.Context, id string, after uint64, output OutputPolicy, streams Streams) (Exit, error) {
	streams.Stdin = nil
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
	if err != nil && !r.survive && !errors.As(err, &notStarted) {
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
				r.stdin.base = m.Started.StdinReceived
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
			// A terminal has a stdin, whether anything is sent to it or not.
			if r.stdin == nil && m.StdinAck.Offset == 0 {
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
	case codes.Aborted:
		return fmt.Errorf("%w: attached to from elsewhere", ErrLost)
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
