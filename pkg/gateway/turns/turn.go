// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
)

// reserveBlock is how many event numbers are reserved at once. A block holds a
// usual answer, so that most turns reserve once, with their assignment.
const reserveBlock = 4096

// state of an unfinished turn in this process:
//
//	waiting ──first in its conversation──▶ ready ──a job takes it──▶ running
//	                                         ▲                          │
//	                                         └──attempt failed or lost──┤
//	       any ──cancelled, failed, succeeded──▶ ending ─durable─▶ ended
//
// A running turn is ending as well while a failed attempt is being written
// down: no chunk is taken then, or two events could get one number.
type state int

const (
	waiting state = iota
	ready
	running
	ending
	ended
)

// turn is an unfinished turn in memory.
type turn struct {
	broker       *Broker
	uid          types.UID
	namespace    string
	name         string
	conversation *conversation
	hub          *hub
	accepted     time.Time

	// op is held by what changes the status in the store.
	op gate

	mu     sync.Mutex
	object *tightbeamv1.Turn // as last read or written; not changed in place
	state  state

	// reserved is the last event number that may be used.
	reserved  int64
	reserving journal.Pending
	// uncertainTo is, after a crash, the last number that may have been shown
	// to a reader without being durable. Only chunks that are sent again may
	// use numbers up to it: see serverNumber.
	uncertainTo int64
	// attempt that is running.
	attempt attempt
	// timers: the turn's end, the return of its job, the next attempt.
	deadline, lease, retry clock.Timer
	// logged says that the messages of the spec are staged into the log.
	logged bool
}

// attempt is the running attempt of a turn.
type attempt struct {
	number     int32
	model      string
	job        string
	base       int64 // number of its Started event
	sequence   int64 // of the last chunk taken
	visible    bool  // a reader has seen some of the answer
	firstToken *metav1.MicroTime
	usage      *tightbeamv1.Usage
	blocks     blocks
	stream     *Stream // that carries it now, nil while the job is away
	// failed and broken tell of a crash while the attempt was being ended.
	failed *tightbeamv1.TurnEvent
	broken bool
	over   chan struct{}
}

func (b *Broker) newTurn(object *tightbeamv1.Turn, c *conversation, accepted time.Time) *turn {
	return &turn{
		broker: b, uid: object.UID, namespace: object.Namespace, name: object.Name,
		conversation: c, hub: newHub(0), object: object, accepted: accepted, op: make(gate, 1),
	}
}

// Owner names in the journal.
func turnRoot(uid types.UID) journal.Owner    { return journal.Owner("turns/" + string(uid)) }
func eventsOwner(uid types.UID) journal.Owner { return turnRoot(uid) + "/events" }

// The reservation of numbers is a record without data under its own owner,
// numbered by the last number reserved.
func reservedOwner(uid types.UID) journal.Owner { return turnRoot(uid) + "/reserved" }

func (t *turn) String() string { return t.namespace + "/" + t.name }

func (t *turn) current() *tightbeamv1.Turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.object
}

func (t *turn) now() metav1.MicroTime { return metav1.NewMicroTime(t.broker.clock.Now()) }

// reserve makes sure that numbers up to n may be used, waiting for the disk
// only where the block reserved ahead is used up.
func (t *turn) reserve(ctx context.Context, n int64) error {
	t.mu.Lock()
	if n+reserveBlock/4 > t.reserved && t.reserving == nil {
		t.reserving = t.broker.journal.Stage(ctx, journal.Record{Owner: reservedOwner(t.uid), Number: t.reserved + reserveBlock})
	}
	reserving := t.reserving
	short := n > t.reserved
	t.mu.Unlock()
	if !short {
		return nil
	}
	if err := reserving.Wait(ctx); err != nil {
		return fmt.Errorf("reserving event numbers of turn %s: %w", t, err)
	}
	t.mu.Lock()
	if t.reserving == reserving {
		t.reserved += reserveBlock
		t.reserving = nil
	}
	again := n > t.reserved
	t.mu.Unlock()
	if again {
		return t.reserve(ctx, n)
	}
	return nil
}

// stageReservation reserves the first numbers ahead of a write that makes the
// reservation durable with it.
func (t *turn) stageReservation(ctx context.Context, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n <= t.reserved {
		return
	}
	t.reserved = n
	t.broker.journal.Stage(ctx, journal.Record{Owner: reservedOwner(t.uid), Number: n})
}

// serverNumber returns the number of an event that is not a job's chunk. If a
// crash may have lost events under the numbers that come next, it first
// appends Resumed and goes on behind it.
func (t *turn) serverNumber(ctx context.Context) (int64, error) {
	next := t.hub.lastNumber() + 1
	t.mu.Lock()
	uncertainTo := t.uncertainTo
	t.mu.Unlock()
	if next > uncertainTo {
		return next, t.reserve(ctx, next)
	}
	resumed := uncertainTo + 1
	if err := t.reserve(ctx, resumed+1); err != nil {
		return 0, err
	}
	t.publish(&tightbeamv1.TurnEvent{Number: resumed, Type: tightbeamv1.TurnEventResumed, LostFrom: next, LostTo: uncertainTo})
	return resumed + 1, nil
}

// publish hands an event that is not terminal to the readers and to the
// flusher.
func (t *turn) publish(event *tightbeamv1.TurnEvent) {
	if event.Time.IsZero() {
		event.Time = t.now()
	}
	encoded := encodeEvent(event)
	t.hub.append(encoded)
	t.broker.flusher.dirty(t, len(encoded.JSON))
}

// deadlineTime is when the turn ends whatever happens.
func (t *turn) deadlineTime() time.Time {
	object := t.current()
	seconds := int32(600)
	if object.Spec.DeadlineSeconds != nil {
		seconds = *object.Spec.DeadlineSeconds
	}
	return object.CreationTimestamp.Add(time.Duration(seconds) * time.Second)
}

// gate is a mutex that can be waited for with a context.
type gate chan struct{}

func (g gate) lock()   { g <- struct{}{} }
func (g gate) unlock() { <-g }

func (g gate) lockContext(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freeze keeps chunks out while an outcome is written, and returns what the
// turn was until now. The caller holds op.
func (t *turn) freeze() (*tightbeamv1.Turn, attempt, state) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.state
	if was != ended {
		t.state = ending
	}
	return t.object, t.attempt, was
}

func stopTimer(timer clock.Timer) {
	if timer != nil {
		timer.Stop()
	}
}

// entries are the messages that the turn has put, or by now should have put,
// into its conversation's log. A turn that never ran has none.
func entries(object *tightbeamv1.Turn, partial []tightbeamv1.ContentBlock) []tightbeamv1.LogEntry {
	status := &object.Status
	if len(status.Attempts) == 0 {
		return nil
	}
	begun := status.Attempts[0].StartTime
	var out []tightbeamv1.LogEntry
	for _, message := range object.Spec.Messages {
		out = append(out, logEntry(&message, begun))
	}
	if !status.Phase.Terminal() {
		return out
	}
	done := begun
	if status.CompletionTime != nil {
		done = *status.CompletionTime
	}
	last := status.Attempts[len(status.Attempts)-1]
	switch {
	case status.Phase == tightbeamv1.TurnSucceeded && object.Spec.Agent != tightbeamv1.RouterAgent && status.Message != nil:
		entry := logEntry(status.Message, done)
		entry.Model = last.Model
		entry.SystemSHA256 = status.SystemSHA256
		out = append(out, entry)
	case status.Phase != tightbeamv1.TurnSucceeded && len(partial) > 0 && object.Spec.Agent != tightbeamv1.RouterAgent:
		out = append(out, tightbeamv1.LogEntry{
			Time: done, Role: tightbeamv1.RoleAssistant, Content: partial,
			Agent: object.Spec.Agent, Model: last.Model, SystemSHA256: status.SystemSHA256, Partial: true,
		})
	}
	if condition := endCondition(object); condition != nil && condition.Reason == reasonRolledBack {
		out = append(out, tightbeamv1.LogEntry{Time: done, Role: tightbeamv1.RoleRollback})
	}
	return out
}

func logEntry(message *tightbeamv1.Message, at metav1.MicroTime) tightbeamv1.LogEntry {
	return tightbeamv1.LogEntry{
		Time: at, Role: message.Role, Content: message.Content, ToolCalls: message.ToolCalls,
		ToolCallID: message.ToolCallID, IsError: message.IsError, Agent: message.Agent,
	}
}
