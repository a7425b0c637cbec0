// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/awaited"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/messages"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// Options of a Broker. All fields without a default are required.
type Options struct {
	Heads   *heads.Store
	Log     *messages.Log
	Journal journal.Journal

	// Conversation and Model read an object as it is stored now; a NotFound
	// API status if there is none.
	Conversation func(ctx context.Context, namespace, name string) (*tightbeamv1.Conversation, error)
	Model        func(ctx context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error)

	// JobGrace is how long the job of a running turn may stay away before the
	// turn goes on without it. Default 30 s.
	JobGrace time.Duration
	// FlushInterval and FlushBytes bound how long and how much of a turn's events
	// may be not durable. Default 50 ms, 32 KiB.
	FlushInterval time.Duration
	FlushBytes    int
	// MaxObjectBytes is the size of the largest object that the store takes.
	// Default: bbolt's.
	MaxObjectBytes int
	// Clock for everything that waits. Default: the real one.
	Clock clock.WithDelayedExecution
	// Observer is told what happens, for metrics and status. Default: nobody.
	Observer Observer
}

// Observer is told what happens to turns. Its methods may neither block nor call
// the broker.
type Observer interface {
	// TurnEnded: the turn has its terminal phase, durably.
	TurnEnded(turn *tightbeamv1.Turn)
	// AttemptEnded: one attempt is over, successfully or not.
	AttemptEnded(namespace string, attempt *tightbeamv1.TurnAttempt)
	// ModelChanged: the numbers of Broker.ModelCounts are others now.
	ModelChanged(namespace, model string)
	// ConversationChanged: what the conversation's status tells is new.
	ConversationChanged(namespace, name string)
}

// Broker runs turns. Make it with New, give it the turns' storage with Wrap,
// and start it with Recover and Run.
type Broker struct {
	Options
	clock   clock.WithDelayedExecution
	journal journal.Journal
	log     *messages.Log
	store   statuses.Store[*tightbeamv1.Turn]
	flusher *events.Flusher[*turn]
	logger  klog.Logger
	// awaited are the names that readers wait for.
	awaited awaited.Names[types.NamespacedName]

	// tasks are what goes on after its cause has returned: following up on
	// ended turns, timers that fired. ctx ends them.
	tasks  sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc

	mu            sync.Mutex
	stopped       bool
	turns         map[types.UID]*turn
	named         map[types.NamespacedName]*turn // of turns: who has the name
	conversations map[types.UID]*conversation
	models        map[modelKey]*modelQueue
}

type modelKey struct{ namespace, model string }

// New returns a broker that knows no turns yet.
func New(o Options) *Broker {
	if o.JobGrace == 0 {
		o.JobGrace = 30 * time.Second
	}
	if o.FlushInterval == 0 {
		o.FlushInterval = 50 * time.Millisecond
	}
	if o.FlushBytes == 0 {
		o.FlushBytes = 32 << 10
	}
	if o.MaxObjectBytes == 0 {
		o.MaxObjectBytes = bbolt.MaxValueBytes
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Broker{
		Options: o, clock: o.Clock, journal: o.Journal, log: o.Log,
		flusher: events.NewFlusher[*turn](o.Journal, o.Clock, o.FlushInterval, o.FlushBytes),
		logger:  klog.Background().WithName("turns"),
		ctx:     ctx, cancel: cancel,
		turns:         map[types.UID]*turn{},
		named:         map[types.NamespacedName]*turn{},
		conversations: map[types.UID]*conversation{},
		models:        map[modelKey]*modelQueue{},
	}
}

// Run makes events durable and timers fire until ctx ends, and returns when
// everything that was begun has returned. Recover comes before it.
func (b *Broker) Run(ctx context.Context) error {
	b.flusher.Run(ctx)
	b.stop()
	b.tasks.Wait()
	// What the flusher did not get to is still in the jobs' hands, but a
	// clean stop need not make them send it again.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	b.flusher.Flush(last)
	return nil
}

// stop sends away who waits, and lets nothing begin any more.
func (b *Broker) stop() {
	b.mu.Lock()
	b.stopped = true
	for _, q := range b.models {
		q.stop()
	}
	b.mu.Unlock()
	b.cancel()
}

// task runs f in a goroutine that Run waits for. It returns false if the
// broker has stopped.
func (b *Broker) task(f func(ctx context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return false
	}
	b.tasks.Go(func() { f(b.ctx) })
	return true
}

// seeThrough runs f to its end, whatever becomes of the caller, and returns
// what it returned unless the caller has gone before.
func (b *Broker) seeThrough(ctx context.Context, f func(ctx context.Context) error) error {
	done := make(chan error, 1)
	if !b.task(func(ctx context.Context) { done <- f(ctx) }) {
		return ErrStopped
	}
	select {
	case err := <-done:
		if err != nil && b.ctx.Err() != nil {
			return ErrStopped
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// after runs f as a task once d has passed.
func (b *Broker) after(d time.Duration, f func(ctx context.Context)) clock.Timer {
	return b.clock.AfterFunc(max(d, 0), func() { b.task(f) })
}

// insist repeats a write until it succeeds, is pointless, or the broker stops.
// The store fails for good or not at all, so this mostly waits for the
// process to be restarted; what was not written is then repaired.
func (b *Broker) insist(ctx context.Context, what string, write func(ctx context.Context) error) error {
	delay := 100 * time.Millisecond
	for {
		err := write(ctx)
		if err == nil || statuses.Gone(err) || errors.Is(err, errEnded) || tooLarge(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.logger.Error(err, "will try again", "what", what, "after", delay)
		if err := b.sleep(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, 5*time.Second)
	}
}

func (b *Broker) sleep(ctx context.Context, d time.Duration) error {
	timer := b.clock.NewTimer(d)
	select {
	case <-ctx.Done():
		timer.Stop()
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// locate returns an unfinished turn, or the object of one that has ended.
// Errors are API statuses.
func (b *Broker) locate(ctx context.Context, object *tightbeamv1.Turn) (*turn, *tightbeamv1.Turn, error) {
	// Between its being stored and its being accepted, a turn is nowhere; a
	// watcher may be as fast as that.
	for wait := time.Millisecond; ; wait *= 2 {
		if t := b.find(object.UID); t != nil {
			return t, nil, nil
		}
		current, err := b.store.Get(ctx, object.Namespace, object.Name)
		if err != nil {
			return nil, nil, err
		}
		if current == nil || current.UID != object.UID {
			return nil, nil, apierrors.NewNotFound(tightbeamv1.Resource("turns"), object.Name)
		}
		if current.Status.Phase.Terminal() {
			return nil, current, nil
		}
		if wait > time.Second {
			return nil, nil, apierrors.NewServiceUnavailable(fmt.Sprintf("turn %q is not taken up yet; try again", object.Name))
		}
		if err := b.sleep(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
}

// find returns an unfinished turn, nil if it has ended or never was.
func (b *Broker) find(uid types.UID) *turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.turns[uid]
}

// Wrap returns the storage of turns with the broker in its path: inner stores
// turns below prefix, which begins with a slash and has none at its end.
// It must be called once, before Recover.
func (b *Broker) Wrap(inner storage.Interface, prefix string) storage.Interface {
	b.store = newStore(inner, prefix)
	return &turnStorage{Interface: inner, broker: b}
}

// Ready reports whether turns can be run.
func (b *Broker) Ready() error {
	if b.store.Storage == nil {
		return fmt.Errorf("the storage of turns is not attached")
	}
	return b.ctx.Err()
}

type nobody struct{}

func (nobody) TurnEnded(*tightbeamv1.Turn)                   {}
func (nobody) AttemptEnded(string, *tightbeamv1.TurnAttempt) {}
func (nobody) ModelChanged(string, string)                   {}
func (nobody) ConversationChanged(string, string)            {}
