// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/messages"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestASlowReaderReadsTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	slow, err := w.Read(context.Background(), turn, 0)
	if err != nil {
		t.Fatal(err)
	}
	piece := strings.Repeat("y", 10_000)
	const pieces = 60
	for range pieces {
		j.say(piece)
	}
	j.durable()
	hub := w.find(turn.UID).hub
	if _, older, _, _ := hub.After(hub.Last() - events.KeepBytes/10_000 - 2); !older {
		t.Error("more events are kept than need be")
	}
	j.complete("done")
	w.finished("one")
	next := int64(1)
	for {
		events, err := slow.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			if event.Number != next {
				t.Fatalf("event %d after %d", event.Number, next-1)
			}
			next++
		}
	}
	if next != pieces+3 {
		t.Errorf("read %d events", next-1)
	}
}

func TestACursorFromTheFutureIsA410ThatNamesTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.say("a")
	if _, err := w.Read(context.Background(), turn, 3); !apierrors.IsResourceExpired(err) || !strings.Contains(err.Error(), "after=2 or less") {
		t.Errorf("while it runs: %v", err)
	}
	j.complete("a")
	w.finished("one")
	if _, err := w.Read(context.Background(), turn, 4); !apierrors.IsResourceExpired(err) {
		t.Errorf("at its end: %v", err)
	}
	for after := int64(0); after <= 3; after++ {
		events := w.events(turn, after)
		if len(events) != int(3-after) {
			t.Errorf("after %d: %v", after, eventTypes(events))
		}
	}
}

func TestAReaderThatGoesAwayChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	ctx, cancel := context.WithCancel(context.Background())
	reader, err := w.Read(ctx, turn, 0)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := reader.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.pull("echo").complete("ok")
	if done := w.finished("one"); done.Status.Phase != tightbeamv1.TurnSucceeded {
		t.Errorf("%+v", done.Status)
	}
}

// held is a journal in which nothing more is staged while it is held.
type held struct {
	journal.Journal
	mu sync.Mutex
}

func (h *held) Stage(ctx context.Context, records ...journal.Record) journal.Pending {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Journal.Stage(ctx, records...)
}

func TestWhoSawTheEndFindsTheAnswerInTheLog(t *testing.T) {
	t.Parallel()
	var log held
	w := newWorld(t, fast, func(o *Options) {
		log.Journal = o.Journal
		o.Log = messages.New(&log, 1<<20)
	})
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	w.eventually("the question is in the log", func() bool { return len(w.texts("c")) == 1 })
	log.mu.Lock()
	if _, err := j.send(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
		StopReason: pb.StopReason_STOP_REASON_TOOL_USE,
		ToolCalls:  []*pb.ToolCall{{Id: "call", Name: "clock", InputJson: "{}"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	if phase := w.stored("one").Status.Phase; phase != tightbeamv1.TurnSucceeded {
		t.Fatal(phase)
	}

	// It is over, and its answer is not in the log yet.
	impatient, cancel := context.WithCancel(context.Background())
	cancel()
	result := turnNamed("c", "two", func(turn *tightbeamv1.Turn) {
		turn.Spec.Messages = []tightbeamv1.Message{{Role: tightbeamv1.RoleTool, ToolCallID: "call"}}
	})
	conversation := w.conversation("c", nil)
	if err := w.AwaitLog(impatient, conversation.UID); !errors.Is(err, context.Canceled) {
		t.Errorf("the log is not waited for: %v", err)
	}
	if err := w.checkToolResults(impatient, conversation, result); !errors.Is(err, context.Canceled) {
		t.Errorf("a tool's result is checked against a log that lacks the call: %v", err)
	}
	log.mu.Unlock()
	if err := w.AwaitLog(context.Background(), conversation.UID); err != nil {
		t.Fatal(err)
	}
	if texts := w.texts("c"); len(texts) != 2 {
		t.Errorf("the log of %s: %q", turn.Name, texts)
	}
	w.mustCreate(result)
}

// shown is a storage of which a write is to be seen before its writer knows.
type shown struct {
	storage.Interface
	written, known chan struct{}
}

func (s *shown) GuaranteedUpdate(ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	err := s.Interface.GuaranteedUpdate(ctx, key, destination, ignoreNotFound, preconditions, update, cached)
	close(s.written)
	<-s.known
	return err
}

func TestWhoSawTheEndReadsItsEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.say("ok")
	slow := &shown{w.store.Storage, make(chan struct{}), make(chan struct{})}
	w.store.Storage = slow
	completed := make(chan error, 1)
	go func() {
		_, err := j.send(completeChunk("ok"))
		completed <- err
	}()
	<-slow.written
	done := w.stored("one")
	if done.Status.Phase != tightbeamv1.TurnSucceeded {
		t.Fatal(done.Status.Phase)
	}
	impatient, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.Read(impatient, turn, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("reading does not wait for the last event: %v", err)
	}
	close(slow.known)
	reader, err := w.Read(context.Background(), turn, done.Status.LastEvent-1)
	if err != nil {
		t.Fatal(err)
	}
	if last, err := reader.Available(context.Background()); err != nil || len(last) != 1 || !last[0].Last {
		t.Errorf("there is %v, %v", last, err)
	}
	if err := <-completed; err != nil {
		t.Fatal(err)
	}
}
