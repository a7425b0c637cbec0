// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	"safebeam.dev/safebeam/pkg/journal"
)

// Live knows the sandboxes as they are now.
type Live interface {
	// Get returns the newest object of a sandbox, nil if there is none.
	Get(uid types.UID) *v1.Sandbox
	// Hold returns a Running sandbox, connected or not, counted as active until
	// the func is called. The error is an API status.
	Hold(sandbox *v1.Sandbox) (*sandboxes.Sandbox, func(), error)
	// OnChange has f called when Get may return something else.
	OnChange(f func(uid types.UID))
}

// Options of a Runner. Zero values mean the defaults.
type Options struct {
	Live    Live
	Journal journal.Journal
	// Language is that of a sandbox's runtime, for code that does not name one.
	Language func(ctx context.Context, sandbox *v1.Sandbox) (string, error)
	Clock    clock.WithTickerAndDelayedExecution
	// FlushInterval and FlushBytes say when output becomes durable.
	FlushInterval time.Duration
	FlushBytes    int
	// MaxParallel bounds the executions that run in one sandbox, MaxUnfinished
	// those that run or wait.
	MaxParallel, MaxUnfinished int
	// MaxObjectBytes is the largest object that the store takes.
	MaxObjectBytes int
	// RecoverWait is how long after a restart a sandbox may take to come back
	// before what ran in it is lost.
	RecoverWait time.Duration
	// Observer is told what happens, for metrics. Default: nobody.
	Observer Observer
}

// Runner runs executions.
type Runner struct {
	Options
	store   statuses.Store[*v1.Execution]
	flusher *events.Flusher[*execution]
	logger  klog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu         sync.Mutex
	stopped    bool
	executions map[types.UID]*execution
	queues     map[types.UID]*queue // by the sandbox's UID
}

// New makes a runner. Wrap comes before Recover, and that before Run.
func New(o Options) *Runner {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.FlushInterval == 0 {
		o.FlushInterval = 50 * time.Millisecond
	}
	if o.FlushBytes == 0 {
		o.FlushBytes = 32 << 10
	}
	if o.MaxParallel == 0 {
		o.MaxParallel = 32
	}
	if o.MaxUnfinished == 0 {
		o.MaxUnfinished = 1000
	}
	if o.MaxObjectBytes == 0 {
		o.MaxObjectBytes = 8 << 20
	}
	if o.RecoverWait == 0 {
		o.RecoverWait = time.Minute
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Runner{
		Options: o, logger: klog.Background().WithName("executions"), ctx: ctx, cancel: cancel,
		flusher:    events.NewFlusher[*execution](o.Journal, o.Clock, o.FlushInterval, o.FlushBytes),
		executions: map[types.UID]*execution{}, queues: map[types.UID]*queue{},
	}
	o.Live.OnChange(r.sandboxChanged)
	return r
}

// Wrap returns the storage of executions with the runner in its path: inner keeps
// them below prefix, which begins with a slash and has none at its end. It is called
// once, before Recover.
func (r *Runner) Wrap(inner storage.Interface, prefix string) storage.Interface {
	r.store = newStore(inner, prefix)
	return &executionStorage{Interface: inner, runner: r}
}

// Run makes output durable until ctx ends, and returns when everything that was
// begun has returned. Processes run on: the next Run attaches to them.
func (r *Runner) Run(ctx context.Context) error {
	r.flusher.Run(ctx)
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	r.tasks.Wait()
	// sandboxds would send it again, but a clean stop need not make them.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	r.flusher.Flush(last)
	return nil
}

// Recover takes up what the process before left. No execution is created before it
// has returned.
func (r *Runner) Recover(ctx context.Context) error {
	objects, err := r.store.List(ctx, func(object *v1.Execution) bool { return !object.Status.Phase.Terminal() })
	if err != nil {
		return err
	}
	for _, object := range objects {
		e := r.newExecution(object, time.Time{})
		if err := e.restore(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		r.executions[e.uid] = e
		q := r.queueOf(e.sandboxUID())
		running := object.Status.Phase == v1.ExecutionRunning
		if running {
			q.running++
		} else {
			q.waiting = append(q.waiting, e)
		}
		q.unfinished++
		r.mu.Unlock()
		if running {
			r.task(func(context.Context) { e.run(true) })
		}
	}
	for _, object := range objects {
		r.sandboxChanged(object.Status.SandboxUID)
	}
	return nil
}

// task runs f in a goroutine that Run waits for. It returns false if that is over.
func (r *Runner) task(f func(ctx context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	r.tasks.Go(func() { f(r.ctx) })
	return true
}

func (r *Runner) after(d time.Duration, f func(ctx context.Context)) clock.Timer {
	return r.Clock.AfterFunc(max(d, 0), func() { r.task(f) })
}

func (r *Runner) find(uid types.UID) *execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.executions[uid]
}

// insist repeats a write until it succeeds, is pointless, or the runner stops. What
// was not written then is repaired after the restart.
func (r *Runner) insist(ctx context.Context, what string, write func(ctx context.Context) error) error {
	delay := 50 * time.Millisecond
	for {
		err := write(ctx)
		if err == nil || pointless(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.logger.Error(err, "Will try again", "what", what, "after", delay)
		timer := r.Clock.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C():
		}
		delay = min(2*delay, 5*time.Second)
	}
}

// Ready reports whether executions can be run.
func (r *Runner) Ready() error {
	if r.store.Storage == nil {
		return fmt.Errorf("the storage of executions is not attached")
	}
	return r.ctx.Err()
}
