// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

const (
	defaultTimeout = 30
	// patience is how long beyond its timeout, or its cancellation, a process is
	// waited for: sandboxd gives it two seconds between SIGTERM and SIGKILL.
	patience = 12 * time.Second
	// busyWait is how soon a sandbox with too many calls is tried again.
	busyWait = 50 * time.Millisecond
	// processPrefix begins the ids of the processes of executions.
	processPrefix = "execution-"
)

func (e *execution) processID() string { return processPrefix + string(e.uid) }

// start makes a Queued execution Running, and runs it.
func (e *execution) start() {
	r := e.runner
	e.op.Lock()
	if e.isOver() {
		e.op.Unlock()
		r.giveBack(e)
		return
	}
	err := r.insist(r.ctx, "starting execution "+e.String(), func(ctx context.Context) error {
		object, err := r.update(ctx, e.current(), func(status *v1.ExecutionStatus) {
			status.Phase, status.StartTime = v1.ExecutionRunning, ptr.To(e.now())
		})
		if err == nil {
			e.set(object)
		}
		return err
	})
	e.op.Unlock()
	if err != nil {
		if pointless(err) {
			e.vanished(true)
		}
		e.stop(err)
		return
	}
	e.run(false)
}

func (e *execution) set(object *v1.Execution) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.object = object
}

// run runs an execution that is durably Running, or attaches to its process, and
// sees it to its end.
func (e *execution) run(attach bool) {
	r := e.runner
	// Not before the process is released: its last words go over this context.
	defer e.stop(errEnded)
	object := e.current()
	began := attach
	o, err := e.process(object, attach, &began)
	if err == nil {
		return // committed
	}
	if r.ctx.Err() != nil {
		return // the next process attaches to it
	}
	if cause := context.Cause(e.ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, sandboxes.ErrGone) || errors.Is(err, errGivenUp) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// The sandbox is over, and its status says why.
		if sandbox := r.Live.Get(object.Status.SandboxUID); over(sandbox) {
			o = ptr.To(sandboxOver(sandbox))
		}
	}
	if o == nil {
		o = ptr.To(broken(err, began))
	}
	e.finish(r.ctx, *o, true)
}

// process runs the process, or attaches to it. Without an error its end has been
// committed.
func (e *execution) process(object *v1.Execution, attach bool, began *bool) (*outcome, error) {
	r := e.runner
	sandbox := r.Live.Get(object.Status.SandboxUID)
	if sandbox == nil {
		return ptr.To(sandboxOver(nil)), errSandboxGone
	}
	if e.givenUp != nil {
		return nil, e.givenUp
	}
	connection, done, err := e.hold(sandbox, attach)
	if err != nil {
		return nil, err
	}
	defer done()
	// When the process was asked for, by our clock: sandboxd's is the guest's. It is
	// a moment before its start, and never after.
	asked := ptr.Deref(object.Status.StartTime, e.now())
	streams := sandboxes.Streams{
		Output: e.take, Kept: e.kept, Commit: e.commit,
		Started: func(time.Time) {
			e.mu.Lock()
			first := e.started.IsZero()
			if first {
				e.started = asked
			}
			e.mu.Unlock()
			if first && !e.created.IsZero() {
				r.Observer.ExecutionStarted(r.Clock.Since(e.created))
			}
		},
	}
	timeout := time.Duration(ptr.Deref(object.Spec.TimeoutSeconds, defaultTimeout)) * time.Second
	output := sandboxes.OutputPolicy{Capped: true, Head: logHead, Tail: logTail}

	if attach {
		if stdin := object.Spec.Stdin; stdin != "" {
			streams.StdinFrom = func(offset uint64) io.Reader {
				return strings.NewReader(stdin[min(offset, uint64(len(stdin))):])
			}
		}
		defer e.watch(timeout + r.RecoverWait)()
		_, err = connection.Attach(e.ctx, e.processID(), e.chunks, output, streams)
		return nil, err
	}

	command, clean, err := e.command(connection, sandbox, object)
	if err != nil {
		return nil, err
	}
	defer clean()
	command.Timeout, command.Output = timeout, output
	command.Survive, command.EndLeftover = true, true
	if object.Spec.Stdin != "" {
		streams.Stdin = strings.NewReader(object.Spec.Stdin)
	}
	defer e.watch(timeout)()
	for {
		asked = e.now()
		_, err = connection.Run(e.ctx, command, streams)
		if !errors.Is(err, sandboxes.ErrBusy) {
			break
		}
		select {
		case <-time.After(busyWait):
		case <-e.ctx.Done():
			return nil, err
		}
	}
	var refused *sandboxes.StartError
	if errors.As(err, &refused) {
		return ptr.To(notStarted(refused, object.Spec.Code != "")), err
	}
	// Not to have reached it at all is the one failure that says that nothing began.
	*began = !errors.Is(err, sandboxes.ErrNotConnected) || errors.Is(err, sandboxes.ErrLost)
	return nil, err
}

// hold returns the execution's sandbox. One whose pod nobody knows is waited for:
// it is about to be over, and will say why. After a restart its connection is waited
// for, too.
func (e *execution) hold(sandbox *v1.Sandbox, attach bool) (*sandboxes.Sandbox, func(), error) {
	r := e.runner
	waiting, cancel := context.WithTimeout(e.ctx, r.RecoverWait)
	defer cancel()
	for {
		connection, done, err := r.Live.Hold(sandbox)
		if err == nil && !attach {
			return connection, done, nil
		}
		if err == nil {
			if err = connection.Wait(waiting); err == nil {
				return connection, done, nil
			}
			done()
		}
		if !apierrors.IsServiceUnavailable(err) && waiting.Err() == nil {
			return nil, nil, err
		}
		select {
		case <-r.Clock.After(busyWait):
		case <-waiting.Done():
			if !attach {
				return nil, nil, err
			}
			return nil, nil, &endError{outcome{
				phase: v1.ExecutionLost, reason: reasonUnreachable,
				message: fmt.Sprintf("the sandbox did not come back within %s of a restart of the server", r.RecoverWait),
			}}
		}
	}
}

var (
	errSandboxGone = errors.New("the sandbox is gone")
	errGivenUp     = errors.New("the server stopped while it gave up the process")
)

// watch ends the run of a process that sandboxd should have ended long ago.
func (e *execution) watch(timeout time.Duration) (stop func()) {
	timer := e.runner.after(timeout+patience, func(context.Context) {
		e.interrupt(&endError{outcome{
			phase: v1.ExecutionTimedOut, reason: reasonNoAnswer, exitCode: ptr.To(int32(v1.ExitCodeTimedOut)),
			message: fmt.Sprintf("the process was to be ended after %s, and the sandbox has not said that it was", timeout),
		}})
	})
	return func() { timer.Stop() }
}
