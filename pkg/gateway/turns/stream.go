// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// Bounds of one attempt's answer. Providers stop far earlier; they keep a job
// that has gone mad from filling the store. Where the store takes less in one
// object, as etcd does, so does the answer.
const (
	maxAnswerBytes   = 2 << 20  // of text, thinking and tool inputs, and of the last chunk
	maxOneEventBytes = 4 << 20  // of one event, encoded
	maxEventBytes    = 32 << 20 // of all events, encoded
	maxErrorBytes    = 2 << 10  // of a text about a failure
)

// ErrFenced is what a job is told whose attempt is over, or was never its own.
var ErrFenced = errors.New("the attempt is over: its lease was lost, its turn has ended, or it is another job's")

// errEnding is what a job is told while an outcome is being written that may
// yet fail to be: it keeps its answer and asks again.
var errEnding = errors.New("an outcome of the attempt is being written; open the stream again")

// Stream carries the chunks of one attempt from its job. A job that comes back
// opens a new one, which fences the old one off.
type Stream struct {
	turn   *turn
	number int32
	base   int64 // number of the attempt's Started event

	// over ends with the attempt.
	over   context.Context
	ending atomic.Bool
	taken  atomic.Int64 // sequence of the last chunk taken

	model, job string
	disconnect func()

	// event is the one that a chunk becomes. Only its encoding outlives Receive.
	event tightbeamv1.TurnEvent
}

// Open lets the job of a running attempt stream its result. It waits where an
// outcome is just being written, so that ErrFenced is never said of an answer
// that is not durable yet. An empty model is any.
func (b *Broker) Open(ctx context.Context, namespace, model string, uid types.UID, number int32) (*Stream, error) {
	s, err := b.open(ctx, namespace, model, uid, number)
	if err == nil {
		b.connect(modelKey{namespace, s.model}, s.job, 1)
	}
	return s, err
}

func (b *Broker) open(ctx context.Context, namespace, model string, uid types.UID, number int32) (*Stream, error) {
	t := b.find(uid)
	if t == nil {
		return nil, ErrFenced
	}
	if err := t.op.lockContext(ctx); err != nil {
		return nil, err
	}
	defer t.op.unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.attempt
	if t.state == ending {
		return nil, errEnding
	}
	if t.state != running || a.number != number || t.namespace != namespace || (model != "" && a.model != model) {
		return nil, ErrFenced
	}
	stopTimer(t.lease)
	s := &Stream{turn: t, number: number, base: a.base, over: a.over}
	s.disconnect = sync.OnceFunc(func() { b.connect(modelKey{namespace, s.model}, s.job, -1) })
	s.model, s.job = a.model, a.job
	a.stream = s
	return s, nil
}

// OpenOnly is Open for a job that does not say which turn it streams: the
// seed's, which runs one at a time. An empty model or job is any of the
// namespace.
func (b *Broker) OpenOnly(ctx context.Context, namespace, model, job string) (*Stream, error) {
	var found []*turn
	b.mu.Lock()
	for _, t := range b.turns {
		t.mu.Lock()
		a := &t.attempt
		if t.state == running && a.stream == nil && t.namespace == namespace &&
			(model == "" || a.model == model) && (job == "" || a.job == job) {
			found = append(found, t)
		}
		t.mu.Unlock()
	}
	b.mu.Unlock()
	switch len(found) {
	case 0:
		return nil, ErrFenced
	case 1:
		found[0].mu.Lock()
		number := found[0].attempt.number
		found[0].mu.Unlock()
		return b.Open(ctx, namespace, model, found[0].uid, number)
	}
	return nil, ErrAmbiguous
}

// ErrAmbiguous is what a job is told that runs several turns and does not say
// which one it answers.
var ErrAmbiguous = errors.New("several turns are running: name the one that is answered in the metadata safebeam-turn-uid and safebeam-attempt")

// AfterOver has f called, in a goroutine of its own, once the attempt is over,
// whoever ended it. See context.AfterFunc.
func (s *Stream) AfterOver(f func()) (stop func() bool) { return context.AfterFunc(s.over, f) }

// Ending reports whether this stream brought what ended the attempt.
func (s *Stream) Ending() bool { return s.ending.Load() }

// Taken returns the sequence of the last chunk that was taken from this stream.
func (s *Stream) Taken() int64 { return s.taken.Load() }

// Received returns the sequence of the last chunk that is durable.
func (s *Stream) Received() int64 {
	return max(s.turn.hub.Durable()-s.base, 0)
}

// Close says that the job's connection is gone. If the attempt is not over,
// the job has a while to come back.
func (s *Stream) Close() {
	s.disconnect()
	t := s.turn
	t.mu.Lock()
	mine := t.state == running && t.attempt.number == s.number && t.attempt.stream == s
	if mine {
		t.attempt.stream = nil
	}
	t.mu.Unlock()
	if mine {
		t.awaitJob(s.number, t.broker.JobGrace)
	}
}

// Receive takes the next chunk; it is for one goroutine. After complete and error it returns once the
// outcome is durable, with done set. ErrFenced: nothing was taken.
func (s *Stream) Receive(ctx context.Context, chunk *pb.TurnResultChunk) (done bool, err error) {
	t := s.turn
	t.mu.Lock()
	if err := s.fenced(); err != nil {
		t.mu.Unlock()
		return false, err
	}
	a := &t.attempt
	sequence := chunk.GetSequence()
	switch {
	case sequence == 0:
		sequence = a.sequence + 1
	case sequence <= a.sequence:
		s.taken.Store(max(s.taken.Load(), sequence))
		t.mu.Unlock()
		return false, nil
	case sequence > a.sequence+1:
		t.mu.Unlock()
		return false, &ChunkError{fmt.Sprintf("chunk %d of turn %s came after chunk %d: the job must send what is between", sequence, t, a.sequence)}
	}
	number := a.base + sequence
	t.mu.Unlock()

	switch c := chunk.GetChunk().(type) {
	case *pb.TurnResultChunk_Complete:
		s.ending.Store(true)
		if size := proto.Size(c.Complete); size > maxAnswerBytes {
			return true, s.refuse(ctx, number, size)
		}
		return true, t.broker.seeThrough(ctx, func(ctx context.Context) error { return t.complete(ctx, s.number, number, c.Complete) })
	case *pb.TurnResultChunk_Error:
		s.ending.Store(true)
		return true, s.fail(ctx, failure{
			number:     number,
			class:      errorClassFromProto(c.Error.GetClass()),
			message:    clip(c.Error.GetMessage()),
			requestID:  clip(c.Error.GetRequestId()),
			retryAfter: time.Duration(max(c.Error.GetRetryAfterMillis(), 0)) * time.Millisecond,
		})
	}

	event := &s.event
	if err := chunkEvent(chunk, event); err != nil {
		return false, err
	}
	event.Number, event.Time = number, t.now()
	if err := t.numbers.UpTo(ctx, number); err != nil {
		return false, err
	}
	encoded := encodeEvent(event)
	t.mu.Lock()
	if err := s.fenced(); err != nil {
		t.mu.Unlock()
		return false, err
	}
	a.said += len(event.Text) + len(event.JSON) + len(event.Thinking)
	a.encoded += len(encoded.JSON)
	if a.said > maxAnswerBytes || a.encoded > maxEventBytes || len(encoded.JSON) > maxOneEventBytes {
		size := max(a.said, a.encoded)
		t.mu.Unlock()
		return true, s.refuse(ctx, number, size)
	}
	a.sequence = sequence
	s.taken.Store(sequence)
	if visible(event) {
		a.visible = true
		if a.firstToken == nil {
			a.firstToken = ptr.To(event.Time)
		}
	}
	if event.Usage != nil {
		a.usage = event.Usage
	}
	if event.Text != "" {
		a.blocks.add(ptr.Deref(event.Index, 0), event.Text)
	}
	// Under mu, so that no other event gets in between the check and the
	// number.
	t.publishEncoded(encoded)
	t.mu.Unlock()
	return false, nil
}

// fenced says why the stream may not write, if it may not. The caller holds
// the turn's mu.
func (s *Stream) fenced() error {
	t := s.turn
	if t.attempt.number != s.number || t.attempt.stream != s {
		return ErrFenced
	}
	return t.notRunning()
}

// notRunning says why the turn takes nothing of its attempt, if it does not.
// The caller holds mu.
func (t *turn) notRunning() error {
	switch t.state {
	case running:
		return nil
	case ending:
		return errEnding
	}
	return ErrFenced
}

// fail ends the attempt by a failure, whatever becomes of the job.
func (s *Stream) fail(ctx context.Context, f failure) error {
	s.ending.Store(true)
	return s.turn.broker.seeThrough(ctx, func(ctx context.Context) error { return s.turn.fail(ctx, s.number, f) })
}

// refuse ends the attempt because its answer is too large.
func (s *Stream) refuse(ctx context.Context, number int64, size int) error {
	return s.fail(ctx, failure{
		number: number, class: tightbeamv1.ErrorInternal,
		message: fmt.Sprintf("the answer is too large: %d bytes, the limits are %d of text and tool inputs and %d of events", size, maxAnswerBytes, maxEventBytes),
	})
}

// clip bounds a text about a failure.
func clip(text string) string {
	if len(text) <= maxErrorBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxErrorBytes], "") + "…"
}

// ChunkError says what is wrong with a chunk; sending it again is no use.
type ChunkError struct{ message string }

func (e *ChunkError) Error() string { return e.message }

// visible reports whether an event shows something of the answer; thinking
// does not.
func visible(event *tightbeamv1.TurnEvent) bool {
	return event.Text != "" || event.JSON != "" || event.Kind == tightbeamv1.BlockToolUse
}

// chunkEvent makes event that of a chunk that is not the last.
func chunkEvent(chunk *pb.TurnResultChunk, event *tightbeamv1.TurnEvent) error {
	index := event.Index
	if index == nil {
		index = new(int32)
	}
	*index = chunk.GetBlockIndex()
	*event = tightbeamv1.TurnEvent{Index: index}
	switch c := chunk.GetChunk().(type) {
	case *pb.TurnResultChunk_ContentDelta:
		event.Type, event.Text = tightbeamv1.TurnEventBlockDelta, c.ContentDelta.GetText()
	case *pb.TurnResultChunk_ThinkingDelta:
		event.Type, event.Thinking = tightbeamv1.TurnEventBlockDelta, c.ThinkingDelta.GetText()
	case *pb.TurnResultChunk_ToolUseStart:
		event.Type, event.Kind = tightbeamv1.TurnEventBlockStarted, tightbeamv1.BlockToolUse
		event.ToolCallID, event.ToolName = c.ToolUseStart.GetId(), c.ToolUseStart.GetName()
	case *pb.TurnResultChunk_ToolUseInput:
		event.Type, event.JSON = tightbeamv1.TurnEventBlockDelta, c.ToolUseInput.GetPartialJson()
	case *pb.TurnResultChunk_BlockStart:
		event.Type, event.Kind = tightbeamv1.TurnEventBlockStarted, tightbeamv1.BlockKind(c.BlockStart.GetKind())
	case *pb.TurnResultChunk_BlockStop:
		event.Type = tightbeamv1.TurnEventBlockStopped
	case *pb.TurnResultChunk_Usage:
		event.Type, event.Index, event.Usage = tightbeamv1.TurnEventUsage, nil, usageFromProto(c.Usage)
	default:
		return &ChunkError{fmt.Sprintf("chunk %d has no content this server knows", chunk.GetSequence())}
	}
	return nil
}
