// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/heads"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// write changes a stored turn past the broker, as somebody may who has the right to
// write its status, or who put a backup together.
func (w *world) write(name string, change func(*tightbeamv1.Turn)) {
	w.t.Helper()
	err := w.raw.GuaranteedUpdate(context.Background(), "/turns/"+testNamespace+"/"+name, &tightbeamv1.Turn{}, false, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			turn := input.(*tightbeamv1.Turn)
			change(turn)
			return turn, nil, nil
		}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
}

// writeHead changes a head past the broker.
func (w *world) writeHead(conversation string, change func(*heads.Head)) {
	w.t.Helper()
	err := w.rawHeads.GuaranteedUpdate(context.Background(), heads.ResourcePrefix+"/uid-"+conversation, &heads.Head{}, true, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			head := input.(*heads.Head)
			head.Name = "uid-" + conversation
			change(head)
			return head, nil, nil
		}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
}

// written are statuses that no broker has written. Each is put upon a turn that
// waits, or runs with its job connected.
var written = map[string]func(*tightbeamv1.Turn){
	"running without an attempt": func(t *tightbeamv1.Turn) {
		t.Status.Phase, t.Status.Attempts = tightbeamv1.TurnRunning, nil
	},
	"running an attempt of no model": func(t *tightbeamv1.Turn) {
		t.Status.Phase, t.Status.Attempts = tightbeamv1.TurnRunning, []tightbeamv1.TurnAttempt{{}}
	},
	"queued without the attempts that it had": func(t *tightbeamv1.Turn) {
		t.Status.Phase, t.Status.Attempts = tightbeamv1.TurnQueued, nil
	},
	"of no phase": func(t *tightbeamv1.Turn) { t.Status.Phase = "" },
	"of a phase that this server does not know": func(t *tightbeamv1.Turn) {
		t.Status.Phase = "Dreaming"
	},
	"without a status":        func(t *tightbeamv1.Turn) { t.Status = tightbeamv1.TurnStatus{} },
	"of another conversation": func(t *tightbeamv1.Turn) { t.Status.ConversationUID = "uid-d" },
	"of no model":             func(t *tightbeamv1.Turn) { t.Status.Model = "" },
	"queued until long after its end": func(t *tightbeamv1.Turn) {
		t.Status.Phase, t.Status.NotBefore = tightbeamv1.TurnQueued, ptr.To(metav1.NewMicroTime(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	},
	"succeeded without an attempt": func(t *tightbeamv1.Turn) {
		t.Status.Phase, t.Status.Attempts = tightbeamv1.TurnSucceeded, nil
	},
	"answered by the router without an attempt": func(t *tightbeamv1.Turn) {
		t.Spec.Agent = tightbeamv1.RouterAgent
		t.Status.Phase, t.Status.Attempts, t.Status.Message = tightbeamv1.TurnSucceeded, nil, ptr.To(say(tightbeamv1.RoleAssistant, "to somebody"))
	},
	"cancelled without a condition": func(t *tightbeamv1.Turn) { t.Status.Phase = tightbeamv1.TurnCancelled },
	"with more attempts than it had": func(t *tightbeamv1.Turn) {
		t.Status.Attempts = append(t.Status.Attempts, tightbeamv1.TurnAttempt{Model: "other"}, tightbeamv1.TurnAttempt{Model: "other"})
	},
	"accepted at no time": func(t *tightbeamv1.Turn) { t.CreationTimestamp = metav1.Time{} },
}

// TestATurnThatSomebodyWroteEndsAfterARestart is about the worst that a bad object
// can do: end a server that reads it, and every one that is started again.
func TestATurnThatSomebodyWroteEndsAfterARestart(t *testing.T) {
	t.Parallel()
	for name, change := range written {
		for begin, run := range map[string]bool{"waiting": false, "running": true} {
			t.Run(begin+" "+name, func(t *testing.T) {
				t.Parallel()
				clock := newStepClock()
				at := func(o *Options) { o.Clock = clock }
				w := newWorld(t, at)
				w.conversation("d", nil)
				w.mustCreate(turnNamed("c", "one"))
				if run {
					w.pull("echo").say("half")
				}
				behind := w.mustCreate(turnNamed("c", "behind"))
				w.write("one", change)
				w = w.crash(at)
				// Its deadline ends what nothing else does.
				timePasses(t, clock)
				w.finished("one")
				w.finishAll("behind")
				if done := w.finished("behind"); done.UID != behind.UID {
					t.Error("another turn is there")
				}
				w.events(w.stored("one"), 0)
			})
		}
	}
}

// timePasses has minutes pass in a second, until the test ends: a second after landed.
func timePasses(t *testing.T, clock stepClock, landed ...func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				for _, wait := range landed {
					wait()
				}
				clock.Step(time.Second)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// finishAll answers whatever is assigned until a turn has ended.
func (w *world) finishAll(name string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for model := range map[string]bool{"echo": true, "other": true} {
		go func() {
			for ctx.Err() == nil {
				assignment, err := w.GetTurn(ctx, testNamespace, model, "job-"+model)
				if err != nil {
					continue
				}
				s, err := w.Open(ctx, testNamespace, model, types.UID(assignment.GetTurnUid()), assignment.GetAttempt())
				if err != nil {
					continue
				}
				_, _ = s.Receive(ctx, completeChunk("answer"))
				s.Close()
			}
		}()
	}
	w.eventually(name+" ends", func() bool {
		turn := w.stored(name)
		return turn == nil || turn.Status.Phase.Terminal()
	})
}

// TestATurnThatSomebodyWritesMeanwhileEnds writes the same upon turns of a broker
// that runs them.
func TestATurnThatSomebodyWritesMeanwhileEnds(t *testing.T) {
	t.Parallel()
	ends := map[string]func(w *world, j *job){
		"answered": func(_ *world, j *job) { _, _ = j.send(completeChunk("answer")) },
		"failed": func(_ *world, j *job) {
			_, _ = j.send(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Error{Error: &pb.TurnError{Class: pb.ErrorClass_ERROR_CLASS_OVERLOADED}}})
		},
		"cancelled": func(w *world, _ *job) { _, _ = w.Cancel(context.Background(), w.stored("one"), "somebody") },
		"deleted":   func(w *world, _ *job) { _ = w.delete("one") },
		"late":      func(*world, *job) {},
	}
	for name, change := range written {
		for how, end := range ends {
			t.Run(name+" and "+how, func(t *testing.T) {
				t.Parallel()
				clock := newStepClock()
				w := newWorld(t, func(o *Options) { o.Clock = clock })
				turn := w.mustCreate(turnNamed("c", "one"))
				j := w.pull("echo")
				j.say("half")
				w.write("one", change)
				timePasses(t, clock)
				end(w, j)
				w.mustCreate(turnNamed("c", "behind"))
				w.finishAll("behind")
				w.eventually("the turn is over", func() bool {
					one := w.stored("one")
					return (one == nil || one.Status.Phase.Terminal()) && w.find(turn.UID) == nil
				})
			})
		}
	}
}

func TestHeadsThatSomebodyWroteLetTheirConversationsGoOn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*heads.Head){
		"a claim twice": func(h *heads.Head) {
			again := h.Queue[0]
			h.Positions++
			again.Position = h.Positions
			h.Queue = append(h.Queue, again)
		},
		"a claim twice in its place": func(h *heads.Head) { h.Queue = append(h.Queue, h.Queue[0]) },
		"claims in no order":         func(h *heads.Head) { h.Queue[0], h.Queue[1] = h.Queue[1], h.Queue[0] },
		"no claims":                  func(h *heads.Head) { h.Queue = nil },
		"a claim of nobody":          func(h *heads.Head) { h.Queue = append(h.Queue, heads.Claim{Position: 100}) },
		"no positions": func(h *heads.Head) {
			h.Positions = 0
			for i := range h.Queue {
				h.Queue[i].Position = 0
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newStepClock()
			at := func(o *Options) { o.Clock = clock }
			w := newWorld(t, at)
			w.mustCreate(turnNamed("c", "one"))
			w.mustCreate(turnNamed("c", "two"))
			w.writeHead("c", change)
			w = w.crash(at)
			timePasses(t, clock)
			w.finishAll("one")
			w.finishAll("two")
			w.finished("one")
			w.finished("two")
			w.mustCreate(turnNamed("c", "three"))
			w.finishAll("three")
			w.finished("three")
			if queue := w.head("c").Queue; len(queue) != 0 {
				t.Errorf("left in the head: %+v", queue)
			}
		})
	}
}

// A turn in two heads must not run in both conversations.
func TestATurnThatTwoHeadsClaimRunsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	w.conversation("d", nil)
	w.mustCreate(turnNamed("c", "one"))
	claim := w.head("c").Queue[0]
	w.writeHead("d", func(h *heads.Head) {
		h.Positions, h.Queue = 1, []heads.Claim{claim}
	})
	w = w.crash(fast)
	j := w.pull("echo")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if again, err := w.GetTurn(ctx, testNamespace, "echo", "another"); err == nil {
		t.Errorf("assigned twice: %v", again)
	}
	j.complete("answer")
	w.finished("one")
	if queue := w.head("d").Queue; len(queue) != 0 {
		t.Errorf("left in the other head: %+v", queue)
	}
}

func TestAJournalThatNobodyUnderstandsFailsItsTurnAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fast)
	turn := w.mustCreate(turnNamed("c", "one"))
	w.pull("echo").say("half")
	other := w.conversation("d", nil)
	w.mustCreate(turnNamed(other.Name, "other"))
	if err := w.journal.Append(context.Background(), journal.Record{Owner: eventsOwner(turn.UID), Number: 100, Data: []byte("{\n")}); err != nil {
		t.Fatal(err)
	}
	w = w.crash(fast)
	if done := w.finished("one"); done.Status.Phase != tightbeamv1.TurnFailed {
		t.Errorf("ended %s", done.Status.Phase)
	}
	w.finishAll("other")
	w.finished("other")
}

// TestAnAnswerThatCouldNotBeReadAgainIsNotStored is about JSON that is nested so deep
// that it decodes alone and not as a part of its turn, which would keep all turns
// from being read, and the server from starting.
func TestAnAnswerThatCouldNotBeReadAgainIsNotStored(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{101, 9_990, 9_998, 20_000} {
		w := newWorld(t, fast)
		w.mustCreate(turnNamed("c", "one"))
		j := w.pull("echo")
		input := `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
		_, _ = j.send(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
			StopReason: pb.StopReason_STOP_REASON_TOOL_USE,
			ToolCalls:  []*pb.ToolCall{{Id: "1", Name: "x", InputJson: input}},
		}}})
		turn := w.stored("one")
		if e := lastAttempt(turn).Error; e == nil || e.Class != tightbeamv1.ErrorInternal {
			t.Errorf("%d deep: %+v", depth, turn.Status)
		}
		w = w.crash(fast)
		w.stored("one")
	}
}
