// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// queue is the unfinished executions of one sandbox.
type queue struct {
	waiting             []*execution // in the order of their creation
	running, unfinished int
}

// queueOf is held with mu.
func (r *Runner) queueOf(sandbox types.UID) *queue {
	q := r.queues[sandbox]
	if q == nil {
		q = &queue{}
		r.queues[sandbox] = q
	}
	return q
}

// enter takes a new execution in. started says that a place was free in a sandbox
// that runs, and is the execution's now: it may be stored as Running at once.
func (r *Runner) enter(e *execution, sandbox *v1.Sandbox) (started bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queueOf(e.sandboxUID())
	if q.unfinished >= r.MaxUnfinished {
		return false, apierrors.NewTooManyRequests(fmt.Sprintf("sandbox %q has %d unfinished executions, which is the limit", sandbox.Name, q.unfinished), 1)
	}
	q.unfinished++
	r.executions[e.uid] = e
	if runs(sandbox) && q.running < r.MaxParallel && len(q.waiting) == 0 {
		q.running++
		return true, nil
	}
	return false, nil
}

// wait puts a stored execution into its queue.
func (r *Runner) wait(e *execution) {
	r.mu.Lock()
	q := r.queueOf(e.sandboxUID())
	q.waiting = append(q.waiting, e)
	r.mu.Unlock()
	r.sandboxChanged(e.sandboxUID())
}

// leave forgets an execution that is over, or never was.
func (r *Runner) leave(e *execution, ran bool) {
	uid := e.sandboxUID()
	r.mu.Lock()
	delete(r.executions, e.uid)
	q := r.queueOf(uid)
	q.unfinished--
	if ran {
		q.running--
	}
	for i, w := range q.waiting {
		if w == e {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			break
		}
	}
	if !ran {
		e.stop(errEnded) // nothing runs under it
	}
	empty := q.unfinished == 0
	if empty {
		delete(r.queues, uid)
	}
	r.mu.Unlock()
	if !empty && ran {
		r.sandboxChanged(uid)
	}
}

// giveBack frees the place of an execution that ended while it was being started.
func (r *Runner) giveBack(e *execution) {
	uid := e.sandboxUID()
	r.mu.Lock()
	if q := r.queues[uid]; q != nil {
		q.running--
	}
	r.mu.Unlock()
	r.sandboxChanged(uid)
}

func runs(sandbox *v1.Sandbox) bool {
	return sandbox != nil && sandbox.DeletionTimestamp == nil && sandbox.Status.Phase == v1.SandboxRunning
}

// over: nothing runs in the sandbox any more.
func over(sandbox *v1.Sandbox) bool {
	return sandbox == nil || sandbox.DeletionTimestamp != nil || sandbox.Status.Phase == v1.SandboxTerminating || sandbox.Status.Phase.Terminal()
}

// sandboxChanged starts what can start now, or ends all if the sandbox is over.
func (r *Runner) sandboxChanged(uid types.UID) {
	r.mu.Lock()
	known := r.queues[uid] != nil
	r.mu.Unlock()
	if !known {
		return
	}
	sandbox := r.Live.Get(uid)
	if over(sandbox) {
		r.sandboxOver(uid, sandbox)
		return
	}
	if !runs(sandbox) {
		return
	}
	for {
		r.mu.Lock()
		q := r.queues[uid]
		if q == nil || len(q.waiting) == 0 || q.running >= r.MaxParallel || r.stopped {
			r.mu.Unlock()
			return
		}
		e := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.running++
		r.tasks.Go(func() { e.start() })
		r.mu.Unlock()
	}
}

func (r *Runner) sandboxOver(uid types.UID, sandbox *v1.Sandbox) {
	end := sandboxOver(sandbox)
	r.mu.Lock()
	var waiting, running []*execution
	if q := r.queues[uid]; q != nil {
		waiting, q.waiting = q.waiting, nil
		for _, e := range r.executions {
			if e.sandboxUID() == uid {
				running = append(running, e)
			}
		}
	}
	r.mu.Unlock()
	for _, e := range waiting {
		r.task(func(ctx context.Context) { e.finish(ctx, end.neverStarted(), false) })
	}
	for _, e := range running {
		e.interrupt(&endError{end})
	}
}
