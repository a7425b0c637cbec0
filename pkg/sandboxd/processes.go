// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/sandboxd/guard"
	"safebeam.dev/safebeam/pkg/sandboxd/process"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// processes serves sandbox.v1.Processes.
type processes struct {
	sandboxpb.UnimplementedProcessesServer
	manager  *process.Manager
	settings *settings
	guard    *guard.Guard
}

// Run implements sandbox.v1.Processes.
func (s *processes) Run(stream sandboxpb.Processes_RunServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	p, after, err := s.find(first)
	if err != nil {
		var refused *process.StartError
		if errors.As(err, &refused) {
			return stream.Send(&sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_NotStarted{NotStarted: notStarted(refused)}})
		}
		return err
	}
	ctx := stream.Context()
	attachment, err := p.Attach(ctx, after)
	if err != nil {
		return err
	}
	defer attachment.Detach()
	received, _, _, _ := attachment.InputState()
	err = stream.Send(&sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_Started{Started: &sandboxpb.Started{
		Pid: int32(p.PID()), StartUnixNanos: p.StartTime().UnixNano(), StdinReceived: received,
	}}})
	if err != nil {
		return err
	}
	heard := make(chan error, 1)
	go func() { heard <- s.hear(stream, p, attachment) }() // ends with the stream
	return s.tell(stream, p, attachment, heard)
}

// errForgotten is for those who come back too late.
var errForgotten = status.Error(codes.DataLoss, "the process ran, and was forgotten before its end and all of its output were fetched")

// find starts a process or finds the one to attach to.
func (s *processes) find(first *sandboxpb.RunRequest) (*process.Process, uint64, error) {
	switch r := first.Request.(type) {
	case *sandboxpb.RunRequest_Start:
		s.guard.Wake()
		p, err := s.manager.Start(s.spec(r.Start))
		if errors.Is(err, process.ErrExists) {
			return nil, 0, status.Errorf(codes.AlreadyExists, "process %q: %v", r.Start.Id, err)
		}
		return p, 0, err
	case *sandboxpb.RunRequest_Attach:
		p := s.manager.Get(r.Attach.Id)
		switch {
		case p != nil:
			return p, r.Attach.After, nil
		case s.manager.Forgot(r.Attach.Id):
			return nil, 0, errForgotten
		}
		return nil, 0, status.Errorf(codes.NotFound, "no process %q", r.Attach.Id)
	}
	return nil, 0, status.Error(codes.InvalidArgument, "the first request is start or attach")
}

func (s *processes) spec(r *sandboxpb.Start) process.Spec {
	spec := process.Spec{
		ID:          r.Id,
		Argv:        r.Argv,
		Env:         s.settings.environment(r.Env),
		Dir:         r.WorkingDir,
		Stdin:       r.Stdin,
		Timeout:     time.Duration(r.TimeoutNanos),
		Grace:       time.Duration(r.GraceNanos),
		Detach:      time.Duration(r.DetachNanos),
		EndLeftover: r.Leftover == sandboxpb.Start_END,
	}
	if spec.Dir == "" {
		spec.Dir = s.settings.workingDir()
	}
	if r.Tty != nil {
		size := windowSize(r.Tty)
		spec.TTY = &size
	}
	if o := r.Output; o != nil {
		spec.Output = process.OutputPolicy{
			Capped: o.Mode == sandboxpb.OutputPolicy_CAPPED,
			Window: int(o.WindowBytes), Head: int(o.HeadBytes), Tail: int(o.TailBytes),
		}
	}
	return spec
}

// hear takes what the gateway says until it says no more. It never waits for the
// process: stdin is queued, within its window.
func (s *processes) hear(stream sandboxpb.Processes_RunServer, p *process.Process, a *process.Attachment) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch r := request.Request.(type) {
		case *sandboxpb.RunRequest_Stdin:
			err = a.Input(r.Stdin.Offset, r.Stdin.Data, r.Stdin.Eof)
		case *sandboxpb.RunRequest_OutputAck:
			a.Acknowledge(r.OutputAck.Number)
		case *sandboxpb.RunRequest_Resize:
			// A terminal that has just gone with its process is no error.
			if e := p.Resize(windowSize(r.Resize)); !errors.Is(e, os.ErrClosed) {
				err = e
			}
		case *sandboxpb.RunRequest_Signal:
			if e := p.Signal(syscall.Signal(r.Signal.Signal)); !errors.Is(e, syscall.ESRCH) && !errors.Is(e, os.ErrProcessDone) {
				err = e
			}
		case *sandboxpb.RunRequest_Stop:
			p.Stop(process.Stopped, "stopped", time.Duration(r.Stop.GraceNanos))
		case *sandboxpb.RunRequest_Release:
			s.manager.Release(p)
		default:
			err = errors.New("a request that cannot follow the first")
		}
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

// tell sends what the process does: output in order, how far its stdin is, its
// exit when all output is sent; then it stays until the gateway has said its last.
func (s *processes) tell(stream sandboxpb.Processes_RunServer, p *process.Process, a *process.Attachment, heard <-chan error) error {
	var told uint64 // of stdin
	toldClosed := false
	exited := false
	var pace pacer
	for {
		_, written, closed, input := a.InputState()
		if input != nil && (written-told >= process.StdinWindow/4 || written > told && written == received(a) || closed && !toldClosed) {
			told, toldClosed = written, closed
			if err := stream.Send(&sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_StdinAck{
				StdinAck: &sandboxpb.StdinAck{Offset: written, Closed: closed}}}); err != nil {
				return err
			}
		}
		chunk, ok, complete, output := a.Next()
		if ok {
			if err := stream.Send(&sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_Output{Output: &sandboxpb.Output{
				Number: chunk.Number, Stream: sandboxpb.OutputStream(chunk.Stream + 1), Offset: chunk.Offset, Data: chunk.Data,
			}}}); err != nil {
				return err
			}
			var wait <-chan time.Time
			if a.Capped() {
				wait = pace.after(len(chunk.Data), time.Now())
			}
			if wait == nil {
				wait = now
			}
			select {
			case <-a.Kicked():
				return status.Error(codes.Aborted, process.ErrTakenOver.Error())
			case <-wait:
			case <-stream.Context().Done():
				return context.Cause(stream.Context())
			}
			continue
		}
		if a.Lost() {
			return errForgotten
		}
		var done <-chan struct{}
		if complete && !exited {
			select {
			case <-p.Done():
				exited = true
				if err := stream.Send(&sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_Exited{Exited: exitedMessage(p)}}); err != nil {
					return err
				}
				input, output = nil, nil
			default:
				done, output = p.Done(), nil
			}
		}
		if exited {
			input, output = nil, nil
		}
		select {
		case <-input:
		case <-output:
		case <-done:
		case err := <-heard:
			if err != nil || exited {
				return err
			}
			heard = nil // half-closed: nothing more is said, but it listens
		case <-a.Kicked():
			return status.Error(codes.Aborted, process.ErrTakenOver.Error())
		case <-stream.Context().Done():
			return context.Cause(stream.Context())
		}
		if exited && heard == nil {
			return nil
		}
	}
}

// now is over.
var now = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

const (
	// smallChunk is what is worth waiting for more, paceBurst how many of them go
	// out at once, and paceInterval how often one does after that.
	smallChunk   = 4 << 10
	paceBurst    = 64
	paceInterval = 10 * time.Millisecond
)

// A pacer holds back small chunks of a process that writes many of them, so that
// what it writes next goes with them: each chunk is an event that somebody keeps.
type pacer struct {
	credit int
	last   time.Time
}

// after returns what to wait for behind a chunk, nil for nothing.
func (p *pacer) after(size int, now time.Time) <-chan time.Time {
	if size >= smallChunk {
		return nil
	}
	if p.last.IsZero() {
		p.credit = paceBurst
	} else {
		p.credit = min(p.credit+int(now.Sub(p.last)/paceInterval), paceBurst)
	}
	p.last = now
	if p.credit > 0 {
		p.credit--
		return nil
	}
	return time.After(paceInterval)
}

func received(a *process.Attachment) uint64 {
	received, _, _, _ := a.InputState()
	return received
}

// Stop implements sandbox.v1.Processes.
func (s *processes) Stop(_ context.Context, r *sandboxpb.StopRequest) (*sandboxpb.StopResponse, error) {
	p := s.manager.Get(r.Id)
	if p == nil {
		return nil, status.Errorf(codes.NotFound, "no process %q", r.Id)
	}
	p.Stop(process.Stopped, "stopped", time.Duration(r.GraceNanos))
	return &sandboxpb.StopResponse{}, nil
}

// List implements sandbox.v1.Processes.
func (s *processes) List(context.Context, *sandboxpb.ListProcessesRequest) (*sandboxpb.ListProcessesResponse, error) {
	response := &sandboxpb.ListProcessesResponse{}
	for _, p := range s.manager.List() {
		info := &sandboxpb.ProcessInfo{Id: p.ID(), Pid: int32(p.PID()), StartUnixNanos: p.StartTime().UnixNano()}
		select {
		case <-p.Done():
			info.Exited = exitedMessage(p)
		default:
		}
		response.Processes = append(response.Processes, info)
	}
	return response, nil
}

func windowSize(s *sandboxpb.WindowSize) process.WindowSize {
	const most = 1 << 15
	return process.WindowSize{Rows: uint16(min(s.Rows, most)), Cols: uint16(min(s.Cols, most))}
}

var startReasons = map[process.StartReason]sandboxpb.NotStarted_Reason{
	process.Invalid:          sandboxpb.NotStarted_INVALID,
	process.NotFound:         sandboxpb.NotStarted_NOT_FOUND,
	process.PermissionDenied: sandboxpb.NotStarted_PERMISSION_DENIED,
	process.Exhausted:        sandboxpb.NotStarted_EXHAUSTED,
}

func notStarted(e *process.StartError) *sandboxpb.NotStarted {
	return &sandboxpb.NotStarted{Reason: startReasons[e.Reason], Message: e.Error()}
}

var exitReasons = map[process.Reason]sandboxpb.Exited_Reason{
	process.Finished:    sandboxpb.Exited_FINISHED,
	process.TimedOut:    sandboxpb.Exited_TIMED_OUT,
	process.Stopped:     sandboxpb.Exited_STOPPED,
	process.MemoryLimit: sandboxpb.Exited_MEMORY,
	process.PidsLimit:   sandboxpb.Exited_PIDS,
	process.Detached:    sandboxpb.Exited_DETACHED,
}

func exitedMessage(p *process.Process) *sandboxpb.Exited {
	e := p.Exit()
	return &sandboxpb.Exited{
		ExitCode: int32(e.Code), Signal: int32(e.Signal), Reason: exitReasons[e.Reason], Message: e.Message,
		StdoutBytes: p.Total(process.Stdout), StderrBytes: p.Total(process.Stderr),
		StartUnixNanos: e.Start.UnixNano(), EndUnixNanos: e.End.UnixNano(),
		CpuUserNanos: e.User.Nanoseconds(), CpuSystemNanos: e.Sys.Nanoseconds(), MaxRssBytes: e.MaxRSS,
	}
}
