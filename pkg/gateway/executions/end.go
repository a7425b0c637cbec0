// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"errors"
	"fmt"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/journal"
)

// commit makes the exit of a process the end of its execution. sandboxd forgets
// the process once it has returned without an error.
func (e *execution) commit(exit sandboxes.Exit) error {
	for i, total := range []uint64{exit.StdoutBytes, exit.StderrBytes} {
		if omitted := e.outputs[i].skipped(min(total, 1<<62)); omitted > 0 {
			stream := []v1.OutputStream{v1.Stdout, v1.Stderr}[i]
			e.chunks++ // there is no chunk behind it
			if err := e.truncate(stream, omitted); err != nil {
				return err
			}
			e.chunks--
		}
	}
	e.mu.Lock()
	cancelled := e.cancelled
	e.mu.Unlock()
	return e.finish(e.runner.ctx, exited(exit, cancelled), true)
}

// finish brings an execution to its terminal phase, whatever becomes of the
// caller. It returns an error if that could not be made durable. ran says that it
// has a place among those that run.
func (e *execution) finish(ctx context.Context, o outcome, ran bool) error {
	r := e.runner
	e.op.Lock()
	defer e.op.Unlock()
	if e.isOver() {
		return nil
	}
	number, resumed, err := e.lastNumber(ctx, o)
	if err != nil {
		return err
	}
	e.mu.Lock()
	started := e.started
	e.mu.Unlock()
	now := e.now()
	var object *v1.Execution
	err = r.insist(ctx, "ending execution "+e.String(), func(ctx context.Context) error {
		if err := e.stage(ctx, resumed...); err != nil {
			return err
		}
		var err error
		object, err = r.update(ctx, e.current(), func(status *v1.ExecutionStatus) {
			o.apply(status, started, now, number, &e.outputs)
		})
		return err
	})
	if err != nil && !pointless(err) {
		return err
	}
	if err != nil {
		r.task(func(context.Context) { e.vanished(ran) })
		return nil
	}
	for _, event := range resumed {
		e.publish(event)
	}
	e.over(object, ran)
	return nil
}

// lastNumber is that of the terminal event. Where a crash may have lost events that
// somebody has seen, it goes past them, behind a Resumed event that is for the readers
// once the end is durable: until then the process may be found again, and go on with
// the numbers before.
func (e *execution) lastNumber(ctx context.Context, o outcome) (number int64, resumed []events.Event, err error) {
	next := e.hub.Last() + 1
	if next > e.uncertainTo || o.exit != nil {
		return next, nil, e.numbers.UpTo(ctx, next)
	}
	number = e.uncertainTo + 2
	if err := e.numbers.UpTo(ctx, number); err != nil {
		return 0, nil, err
	}
	return number, []events.Event{encode(&v1.ExecutionEvent{
		Number: number - 1, Time: e.now(), Type: v1.ExecutionEventResumed, LostFrom: next, LostTo: e.uncertainTo,
	})}, nil
}

// stage stages what is not durable, and events that are not published yet, ahead of
// the terminal status.
func (e *execution) stage(ctx context.Context, more ...events.Event) error {
	pending := append(e.hub.Pending(), more...)
	for part := range events.Appends(events.Records(outputOwner(e.uid), pending)) {
		if err := journal.Refused(e.runner.Journal.Stage(ctx, part...)); err != nil {
			return fmt.Errorf("writing the output of execution %s: %w", e, err)
		}
	}
	return nil
}

// over publishes the end, once it is durable.
func (e *execution) over(object *v1.Execution, ran bool) {
	e.mu.Lock()
	e.object, e.ended = object, true
	e.mu.Unlock()
	e.runner.Observer.ExecutionEnded(object, e.runner.Live.Get(object.Status.SandboxUID))
	e.hub.Persisted(e.hub.Last())
	e.hub.End(encode(terminalEvent(object)))
	e.runner.leave(e, ran)
	close(e.left)
}

// vanished is the end of an execution whose object was deleted, or ended by
// somebody else's hand.
func (e *execution) vanished(ran bool) {
	e.op.Lock()
	defer e.op.Unlock()
	if e.isOver() {
		return
	}
	r := e.runner
	var object *v1.Execution
	if err := r.insist(r.ctx, "reading ended execution "+e.String(), func(ctx context.Context) (err error) {
		object, err = r.store.Get(ctx, e.namespace, e.name)
		return err
	}); err != nil {
		return // stopping; recovery knows
	}
	if object != nil && object.UID == e.uid && object.Status.Phase.Terminal() {
		object.Status.LastEvent = max(object.Status.LastEvent, e.hub.Last()+1)
		e.over(object, ran)
		return
	}
	gone := e.current().DeepCopy()
	e.mu.Lock()
	started := e.started
	e.mu.Unlock()
	o := outcome{phase: v1.ExecutionCancelled, reason: reasonDeleted, message: "the execution was deleted"}
	o.apply(&gone.Status, started, e.now(), max(e.hub.Last(), e.uncertainTo)+1, &e.outputs)
	e.over(gone, ran)
	_ = r.insist(r.ctx, "removing the output of execution "+e.String(), func(ctx context.Context) error {
		return r.Journal.Drop(ctx, root(e.uid))
	})
}

// Cancel ends an execution and returns it in its terminal phase: Cancelled, or the
// one that it reached before. Errors are API statuses.
func (r *Runner) Cancel(ctx context.Context, object *v1.Execution, why string) (*v1.Execution, error) {
	e, current, err := r.locate(ctx, object)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return current, nil
	}
	if !r.task(func(ctx context.Context) { e.cancel(ctx, why) }) {
		return nil, events.ErrStopped
	}
	select {
	case <-e.left:
		return e.current(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.ctx.Done():
		return nil, events.ErrStopped
	}
}

// cancel ends an execution that waits, or has the process of one that runs ended.
func (e *execution) cancel(ctx context.Context, why string) {
	r := e.runner
	o := outcome{phase: v1.ExecutionCancelled, reason: reasonCancelled, message: why}
	if r.dequeue(e) {
		_ = e.finish(ctx, o.neverStarted(), false)
		return
	}
	e.mu.Lock()
	if e.cancelled == "" {
		e.cancelled = why
	}
	e.mu.Unlock()
	e.end(ctx, &endError{o})
}

// end has the process ended, and the run with that cause if it does not end by
// that.
func (e *execution) end(ctx context.Context, cause error) {
	r := e.runner
	timer := r.after(patience, func(context.Context) { e.interrupt(cause) })
	defer timer.Stop()
	sandbox := r.Live.Get(e.sandboxUID())
	if sandbox == nil {
		e.interrupt(cause)
		return
	}
	connection, done, err := r.Live.Hold(sandbox)
	if err != nil {
		e.interrupt(cause)
		return
	}
	defer done()
	for {
		// A process that is being started is not known yet. Once its run is over there
		// is nothing to be stopped, or nobody who could be asked.
		err := connection.Stop(e.ctx, e.processID(), 0)
		if err == nil {
			break
		}
		if e.ctx.Err() == nil && !notFound(err) && !sandboxes.Interrupted(err) && !errors.Is(err, sandboxes.ErrNotConnected) && !errors.Is(err, sandboxes.ErrGone) {
			r.logger.Error(err, "Stopping a process failed, will try again", "execution", e.String())
		}
		select {
		case <-r.Clock.After(busyWait):
		case <-e.left:
			return
		case <-ctx.Done():
			return
		}
	}
	select {
	case <-e.left:
	case <-ctx.Done():
	}
}

// dequeue takes an execution that waits out of its queue.
func (r *Runner) dequeue(e *execution) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queues[e.sandboxUID()]
	if q == nil {
		return false
	}
	for i, w := range q.waiting {
		if w == e {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}
