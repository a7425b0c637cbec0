// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/journal"
)

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
	hub          *events.Hub
	owner        journal.Owner // of the events
	numbers      *events.Reservation
	accepted     time.Time
	// left is closed when nothing is left to do for the turn: its claim is
	// released. See Broker.released.
	left chan struct{}

	// op is held by what changes the status in the store.
	op gate

	mu     sync.Mutex
	object *tightbeamv1.Turn // as last read or written; not changed in place
	state  state
	// was is the state before ending.
	was state

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
	said       int     // bytes of text, thinking and tool inputs
	encoded    int     // bytes of events
	stream     *Stream // that carries it now, nil while the job is away
	// failed and broken tell of a crash while the attempt was being ended.
	failed *tightbeamv1.TurnEvent
	broken bool
	// over ends, by end, with the attempt.
	over context.Context
	end  context.CancelFunc
}

func newAttempt(number int32, status *tightbeamv1.TurnAttempt, base int64) attempt {
	a := attempt{number: number, model: status.Model, job: status.Job, base: base}
	a.over, a.end = context.WithCancel(context.Background())
	return a
}

func (b *Broker) newTurn(object *tightbeamv1.Turn, c *conversation, accepted time.Time) *turn {
	return &turn{
		broker: b, uid: object.UID, namespace: object.Namespace, name: object.Name,
		conversation: c, hub: events.NewHub(0), owner: eventsOwner(object.UID), object: object, accepted: accepted, op: make(gate, 1),
		numbers: events.NewReservation(b.journal, reservedOwner(object.UID), 0),
		left:    make(chan struct{}),
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

// over reports whether the turn has its terminal phase.
func (t *turn) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state == ended
}

func (t *turn) now() metav1.MicroTime { return metav1.NewMicroTime(t.broker.clock.Now()) }

// nextNumber returns the number of the next event that is not a job's chunk.
// safe says that no crash can have lost events under the numbers from there.
func (t *turn) nextNumber() (next, uncertainTo int64, safe bool) {
	next = t.hub.Last() + 1
	t.mu.Lock()
	defer t.mu.Unlock()
	return next, t.uncertainTo, next > t.uncertainTo
}

// serverNumber reserves and returns the number of an event that is not a job's
// chunk. If a crash may have lost events under the numbers that come next, the
// number is behind that of a Resumed event, which is to go into the journal ahead
// of the write that decides the other, and to the readers after it: until then the
// job may come back and go on with the numbers before.
func (t *turn) serverNumber(ctx context.Context) (number int64, resumed []Event, err error) {
	next, uncertainTo, safe := t.nextNumber()
	if safe {
		return next, nil, t.numbers.UpTo(ctx, next)
	}
	number = uncertainTo + 2
	if err := t.numbers.UpTo(ctx, number); err != nil {
		return 0, nil, err
	}
	return number, []Event{encodeEvent(&tightbeamv1.TurnEvent{
		Number: uncertainTo + 1, Time: t.now(), Type: tightbeamv1.TurnEventResumed, LostFrom: next, LostTo: uncertainTo,
	})}, nil
}

// publish hands an event that is not terminal to the readers and to the
// flusher.
func (t *turn) publish(event *tightbeamv1.TurnEvent) {
	if event.Time.IsZero() {
		event.Time = t.now()
	}
	t.publishEncoded(encodeEvent(event))
}

func (t *turn) publishEncoded(event Event) {
	t.hub.Append(event)
	t.broker.flusher.Dirty(t, len(event.JSON))
}

// publishDurable hands events to the readers that went into the journal ahead of
// what is durable now.
func (t *turn) publishDurable(events []Event) {
	for _, event := range events {
		t.publishEncoded(event)
		t.hub.Persisted(event.Number)
	}
}

// deadlineTime is when the turn ends whatever happens. It counts from the
// acceptance, which after a restart is known to the second only.
func (t *turn) deadlineTime() time.Time {
	object := t.current()
	seconds := int32(600)
	if object.Spec.DeadlineSeconds != nil {
		seconds = *object.Spec.DeadlineSeconds
	}
	return t.accepted.Add(time.Duration(seconds) * time.Second)
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
	switch t.state {
	case ended:
		return t.object, t.attempt, ended
	case ending: // an outcome could not be written before
	default:
		t.was, t.state = t.state, ending
	}
	return t.object, t.attempt, t.was
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
