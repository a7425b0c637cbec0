// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/journal"
)

// execution is an unfinished execution in memory.
type execution struct {
	runner          *Runner
	uid             types.UID
	namespace, name string
	// created is when this process saw it come to be; zero if another one did.
	created time.Time
	hub     *events.Hub
	numbers *events.Reservation
	// uncertainTo is, after a crash, the last number that may have been shown to a
	// reader without being durable.
	uncertainTo int64
	// ctx is that of its run; it ends with the cause for which the run has to.
	ctx  context.Context
	stop context.CancelCauseFunc
	// kept tells the run what is durable.
	kept chan uint64
	// left is closed when the execution is over.
	left chan struct{}

	// op is held by what changes the status in the store.
	op sync.Mutex

	mu        sync.Mutex
	object    *v1.Execution // as last read or written; not changed in place
	started   metav1.MicroTime
	ended     bool
	cancelled string // who cancelled it, and so why it was stopped

	// Of the one goroutine that runs it:

	chunks  uint64 // chunks taken
	outputs [2]capture
	// truncated are the numbers of the Truncated events.
	truncated []int64
	// givenUp says why the execution's process is not attached to: the server before
	// this one was about to end the execution without its exit, and its numbers go on
	// behind that, or nobody knows what that one has taken of it.
	givenUp error
}

func (r *Runner) newExecution(object *v1.Execution, created time.Time) *execution {
	ctx, stop := context.WithCancelCause(r.ctx)
	return &execution{
		runner: r, uid: object.UID, namespace: object.Namespace, name: object.Name, object: object, created: created,
		hub: events.NewHub(0), numbers: events.NewReservation(r.Journal, reservedOwner(object.UID), events.ReserveBlock),
		ctx: ctx, stop: stop, kept: make(chan uint64, 1), left: make(chan struct{}),
	}
}

// Owner names in the journal. The first block of numbers needs no record: every
// execution has it.
func root(uid types.UID) journal.Owner          { return journal.Owner("executions/" + string(uid)) }
func outputOwner(uid types.UID) journal.Owner   { return root(uid) + "/output" }
func reservedOwner(uid types.UID) journal.Owner { return root(uid) + "/reserved" }

func (e *execution) String() string { return e.namespace + "/" + e.name }

func (e *execution) current() *v1.Execution {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.object
}

func (e *execution) sandboxUID() types.UID { return e.current().Status.SandboxUID }

func (e *execution) isOver() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

func (e *execution) now() metav1.MicroTime { return metav1.NewMicroTime(e.runner.Clock.Now()) }

// interrupt ends the run of an execution, if it runs.
func (e *execution) interrupt(cause error) { e.stop(cause) }

// Events implements events.Source.
func (e *execution) Events() (*events.Hub, journal.Owner) { return e.hub, outputOwner(e.uid) }

// Flushing implements events.Source.
func (e *execution) Flushing(context.Context) {}

// Persisted implements events.Source: it has sandboxd told what it need not keep.
func (e *execution) Persisted(number int64) {
	e.mu.Lock()
	chunk := uint64(number)
	for _, t := range e.truncated {
		if t <= number {
			chunk--
		}
	}
	e.mu.Unlock()
	for {
		select {
		case e.kept <- chunk:
			return
		default:
		}
		select {
		case <-e.kept: // overtaken
		default:
		}
	}
}

// take is what a run does with a chunk.
func (e *execution) take(c sandboxes.Chunk) error {
	stream := v1.Stdout
	i := 0
	if c.Stderr {
		stream, i = v1.Stderr, 1
	}
	e.chunks = c.Number
	if omitted := e.outputs[i].skipped(c.Offset); omitted > 0 {
		if err := e.truncate(stream, omitted); err != nil {
			return err
		}
	}
	e.outputs[i].add(c.Offset, c.Data)
	number := e.number()
	if err := e.numbers.UpTo(e.ctx, number); err != nil {
		return err
	}
	e.publish(outputEvent(number, e.now(), stream, c.Data))
	return nil
}

// number is that of the chunk that was taken last.
func (e *execution) number() int64 { return int64(e.chunks) + int64(len(e.truncated)) }

// truncate publishes that something is left out ahead of the chunk that was taken
// last, or behind it if there is none to come.
func (e *execution) truncate(stream v1.OutputStream, omitted int64) error {
	number := e.number()
	if err := e.numbers.UpTo(e.ctx, number); err != nil {
		return err
	}
	e.mu.Lock()
	e.truncated = append(e.truncated, number)
	e.mu.Unlock()
	e.publish(encode(&v1.ExecutionEvent{Number: number, Time: e.now(), Type: v1.ExecutionEventTruncated, Stream: stream, Omitted: omitted}))
	return nil
}

func (e *execution) publish(event events.Event) {
	e.hub.Append(event)
	e.runner.flusher.Dirty(e, len(event.JSON))
}

func outputEvent(number int64, now metav1.MicroTime, stream v1.OutputStream, data []byte) events.Event {
	event := &v1.ExecutionEvent{Number: number, Time: now, Type: v1.ExecutionEventOutput, Stream: stream}
	if utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 {
		event.Text = string(data)
	} else {
		event.Bytes = data
	}
	return encode(event)
}

func encode(event *v1.ExecutionEvent) events.Event {
	data, err := json.Marshal(event)
	if err != nil {
		panic(fmt.Sprintf("event %d of type %s does not encode: %v", event.Number, event.Type, err)) // nothing in it can fail
	}
	return events.Event{Number: event.Number, Last: event.Type.Terminal(), JSON: data}
}

// restore reads back what the journal knows of an execution.
func (e *execution) restore(ctx context.Context) error {
	reserved, err := e.runner.Journal.Last(ctx, reservedOwner(e.uid))
	if err != nil {
		return fmt.Errorf("reading the reservation of execution %s: %w", e, err)
	}
	records, err := e.runner.Journal.Read(ctx, outputOwner(e.uid), 0, 0)
	if err != nil {
		return fmt.Errorf("reading the output of execution %s: %w", e, err)
	}
	durable := int64(0)
	if len(records) > 0 {
		durable = records[len(records)-1].Number
	}
	if err := e.replayAll(records); err != nil {
		// One execution's, and no reason not to serve all others.
		e.givenUp = fmt.Errorf("its output cannot be read: %w", err)
		e.runner.logger.Error(err, "The output of an execution cannot be read", "execution", e.String())
	}
	e.hub = events.NewHub(durable)
	e.numbers.Recover(max(reserved, durable))
	if e.object.Status.Phase == v1.ExecutionRunning {
		e.uncertainTo = e.numbers.Reserved()
	}
	if start := e.object.Status.StartTime; start != nil && e.chunks > 0 {
		e.started = *start // else the process is to tell
	}
	return nil
}

func (e *execution) replayAll(records []journal.Record) error {
	after := int64(0)
	for _, record := range records {
		batch, err := events.Decode(record, after)
		if err != nil {
			return err
		}
		for _, encoded := range batch {
			var event v1.ExecutionEvent
			if err := json.Unmarshal(encoded.JSON, &event); err != nil {
				return fmt.Errorf("event %d: %w", encoded.Number, err)
			}
			e.replay(&event)
			after = event.Number
		}
	}
	return nil
}

// replay takes in an event as it was when it was new.
func (e *execution) replay(event *v1.ExecutionEvent) {
	i := 0
	if event.Stream == v1.Stderr {
		i = 1
	}
	switch event.Type {
	case v1.ExecutionEventOutput:
		e.chunks++
		e.outputs[i].add(e.outputs[i].end, event.Data())
	case v1.ExecutionEventTruncated:
		e.truncated = append(e.truncated, event.Number)
		e.outputs[i].add(e.outputs[i].end+uint64(event.Omitted), nil)
	case v1.ExecutionEventResumed:
		e.givenUp = errGivenUp
	}
}
