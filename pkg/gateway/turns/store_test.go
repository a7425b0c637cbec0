// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// breakDisk lets every write fail from now on.
func (w *world) breakDisk() {
	//lint:ignore ST1008 it is faultfs' order
	w.disk.fs.SetFault(func(op faultfs.Op, _ string) (error, int) {
		if op == faultfs.OpWrite {
			return errors.New("input/output error"), 0
		}
		return nil, 0
	})
}

func TestAFailingStorePublishesNoEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.say("half")
	j.durable()
	reader, err := w.Read(context.Background(), turn, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.breakDisk()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	j.sequence++
	chunk := completeChunk("half and more")
	chunk.Sequence = j.sequence
	// The job's connection may go: what is being written goes on without it.
	if _, err := j.Receive(ctx, chunk); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an answer that is not durable is acknowledged: %v", err)
	}
	for {
		events, err := reader.Available(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, event := range events {
			if event.Last {
				t.Errorf("published before it is durable: %s", event.JSON)
			}
		}
	}
	w.disk.fs.SetFault(nil)
	next := w.crash(fast)
	if phase := next.stored("one").Status.Phase; phase != tightbeamv1.TurnRunning {
		t.Fatalf("the turn is %s", phase)
	}
	back := next.connectJob(j.assignment)
	back.sequence = 1
	back.complete("half and more")
	next.finished("one")
}

func TestAStopEndsEverythingThoughTheStoreFails(t *testing.T) {
	before := runtime.NumGoroutine()
	w := newWorld(t, fast)
	w.conversation("d", nil)
	turn := w.mustCreate(turnNamed("c", "one"))
	w.mustCreate(turnNamed("d", "two"))
	j := w.pull("echo")
	j.say("half")
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = readAll(w.Broker, turn, 0) })
	waiting.Go(func() {
		if _, err := w.GetTurn(context.Background(), testNamespace, "other", "job"); !errors.Is(err, ErrStopped) {
			t.Errorf("GetTurn: %v", err)
		}
	})
	w.breakDisk()
	waiting.Go(func() {
		if _, err := j.send(completeChunk("half")); !errors.Is(err, ErrStopped) && !errors.Is(err, errEnding) {
			t.Errorf("complete: %v", err)
		}
	})
	waiting.Go(func() { _, _ = w.Cancel(context.Background(), turn, "now") })
	time.Sleep(20 * time.Millisecond)
	done := make(chan struct{})
	go func() { w.stop(); waiting.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("the broker does not stop:\n%s", buf[:runtime.Stack(buf, true)])
	}
	w.eventually("no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
	if _, err := w.GetTurn(context.Background(), testNamespace, "echo", "job"); !errors.Is(err, ErrStopped) {
		t.Errorf("a stopped broker gives out turns: %v", err)
	}
}

func TestAThousandConversationsRunAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	// How soon the machine gets to each of them is not what this is about: a few
	// clients create, so that no create waits for a thousand others, and jobs
	// have as much time as tests.
	const n, deltas, clients, polls = 1000, 20, 16, 8
	w := newWorld(t, func(o *Options) { o.JobGrace = patience })
	for i := range n {
		w.conversation(fmt.Sprint("c", i), nil)
	}
	var all, running sync.WaitGroup
	running.Add(n)
	for range polls {
		all.Go(func() {
			for range n / polls {
				assignment := w.pullOnly("echo")
				all.Go(func() {
					j := w.connectJob(assignment)
					for i := range deltas {
						if i == deltas/2 { // nobody ends before all have begun
							running.Done()
							running.Wait()
						}
						j.say(fmt.Sprint(i, " "))
					}
					j.complete("done")
				})
			}
		})
	}
	for client := range clients {
		all.Go(func() {
			for i := client; i < n; i += clients {
				turn, err := w.create(turnNamed(fmt.Sprint("c", i), fmt.Sprint("turn", i)))
				if err != nil {
					t.Errorf("create: %v", err)
					running.Done()
					continue
				}
				all.Go(func() {
					events, err := readAll(w.Broker, turn, 0)
					if err != nil || len(events) != deltas+2 || !events[deltas+1].Type.Terminal() {
						t.Errorf("turn %d: %d events, %v", i, len(events), err)
					}
				})
			}
		})
	}
	all.Wait()
	w.eventually("all is followed up", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.Broker.turns) == 0 && len(w.named) == 0 && len(w.conversations) == 0 && len(w.models) == 0
	})
}

func TestRouterTurnsAnswerOutsideTheHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	as := func(agent string, empty bool) func(*tightbeamv1.Turn) {
		return func(turn *tightbeamv1.Turn) {
			turn.Spec.Agent = agent
			if empty {
				turn.Spec.Messages = nil
			}
		}
	}
	if _, err := w.create(turnNamed("c", "nothing", as("a", true))); err == nil || !strings.Contains(err.Error(), "spec.messages") {
		t.Fatalf("a turn without messages: %v", err)
	}
	w.mustCreate(turnNamed("c", "route", as(tightbeamv1.RouterAgent, false)))
	w.pull("echo").complete("alice")
	w.finished("route")
	w.mustCreate(turnNamed("c", "one", as("alice", true)))
	j := w.pull("echo")
	if n := len(j.assignment.GetMessages()); n != 1 {
		t.Errorf("%d messages", n)
	}
	j.complete("I am alice")
	w.finished("one")
	w.mustCreate(turnNamed("c", "two", as("bob", false)))
	w.pull("echo").complete("I am bob")
	w.finished("two")
	w.mustCreate(turnNamed("c", "three", as("bob", false)))
	var sent []string
	for _, m := range w.pullOnly("echo").GetMessages() {
		sent = append(sent, m.GetContent()[0].GetText().GetText())
	}
	if diff := cmp.Diff([]string{"route", "[alice]: I am alice", "two", "[bob]: I am bob", "three"}, sent); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"user: route", "assistant: I am alice", "user: two", "assistant: I am bob"}, w.texts("c")[:4]); diff != "" {
		t.Error(diff)
	}
	var routed []string
	for entry, err := range w.log.Read(context.Background(), "uid-c", tightbeamv1.LogViewRouter, 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		routed = append(routed, *entry.Content[0].Text)
	}
	if diff := cmp.Diff([]string{"alice"}, routed); diff != "" {
		t.Error(diff)
	}
}

func TestAToolResultNeedsItsCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	result := func(id string) func(*tightbeamv1.Turn) {
		return func(turn *tightbeamv1.Turn) {
			turn.Spec.Messages = []tightbeamv1.Message{{Role: tightbeamv1.RoleTool, ToolCallID: id, Content: say("", "42").Content}}
		}
	}
	if _, err := w.create(turnNamed("c", "none", result("call-1"))); err == nil || !strings.Contains(err.Error(), "spec.messages[0].toolCallID") {
		t.Fatalf("got %v", err)
	}
	w.mustCreate(turnNamed("c", "ask"))
	_, err := w.pull("echo").send(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
		StopReason: pb.StopReason_STOP_REASON_TOOL_USE, ToolCalls: []*pb.ToolCall{{Id: "call-1", Name: "answer"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w.finished("ask")
	if _, err := w.create(turnNamed("c", "other", result("call-2"))); err == nil || !strings.Contains(err.Error(), "open calls: call-1") {
		t.Errorf("got %v", err)
	}
	w.mustCreate(turnNamed("c", "tell", result("call-1")))
}

func TestAForkHasTheLogUpToItsIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	for _, name := range []string{"one", "two"} {
		w.mustCreate(turnNamed("c", name))
		w.pull("echo").complete("answer to " + name)
		w.finished(name)
	}
	after := int64(2)
	if err := w.log.Fork(context.Background(), "uid-c", "uid-fork", &after); err != nil {
		t.Fatal(err)
	}
	w.conversation("fork", nil)
	w.mustCreate(turnNamed("fork", "three"))
	w.pull("echo").complete("in the fork")
	w.finished("three")
	if diff := cmp.Diff([]string{"user: one", "assistant: answer to one", "user: three", "assistant: in the fork"}, w.texts("fork")); diff != "" {
		t.Error(diff)
	}
	after = 9
	if err := w.log.Fork(context.Background(), "uid-c", types.UID("uid-no"), &after); err == nil {
		t.Error("a fork past the end")
	}
}

// A job that comes back after a crash goes on with the numbers that it had, unless
// somebody was told that they are lost.
func TestNobodyIsToldThatEventsAreLostBeforeItIsDecided(t *testing.T) {
	t.Parallel()
	never := func(o *Options) { o.FlushInterval = time.Hour }
	w := newWorld(t, never)
	w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	j.say("half")
	next := w.crash(never)
	turn := next.stored("one")
	reader, err := next.Read(context.Background(), turn, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The disk takes the reservation of numbers, and not the turn's end.
	restored := next.find(turn.UID)
	if err := restored.numbers.UpTo(context.Background(), restored.uncertainTo+2); err != nil {
		t.Fatal(err)
	}
	next.breakDisk()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := next.Cancel(ctx, turn, "now"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an end that is not durable is acknowledged: %v", err)
	}
	var shown []*tightbeamv1.TurnEvent
	for {
		events, err := reader.Available(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, encoded := range events {
			event, err := decodeEvent(encoded)
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, event)
		}
	}
	if types := eventTypes(shown); len(types) != 1 || types[0] != tightbeamv1.TurnEventStarted {
		t.Errorf("before anything is decided, the reader sees %s", types)
	}
	next.disk.fs.SetFault(nil)
	last := next.crash(never)
	back := last.connectJob(j.assignment)
	back.complete("half and more")
	if end := last.finished("one").Status.LastEvent; end != shown[0].Number+1 {
		t.Errorf("the turn ends with event %d", end)
	}
	last.events(turn, shown[0].Number)
}
