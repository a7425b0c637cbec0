// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses/statusestest"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// A write that failed may have been made, or be made later: nothing is lost by that,
// nothing happens twice, and everything ends.
func TestTurnsEndOnceWhateverBecomesOfWritesThatFailed(t *testing.T) {
	t.Parallel()
	clock := newStepClock()
	// No time is too short for the jobs, however fast it passes.
	w := startWorld(t, newDisk(t), newCluster(), func(o *Options) { o.Clock, o.JobGrace = clock, 10_000*time.Hour })
	toHeads, toTurns := statusestest.Unsure(t, w.rawHeads), statusestest.Unsure(t, statusestest.Behind(w.raw))
	w.Heads = heads.NewStore(toHeads)
	w.turns = w.Wrap(toTurns, "/turns")
	w.model("echo", nil)
	w.start()
	timePasses(t, clock, toHeads.Landed, toTurns.Landed)

	ctx, cancel := context.WithCancel(t.Context())
	var jobs sync.WaitGroup
	defer jobs.Wait()
	defer cancel()
	for i := range 3 {
		jobs.Go(func() { w.answer(ctx, fmt.Sprintf("job-%d", i)) })
	}
	conversations := []string{"a", "b", "c"}
	var clients sync.WaitGroup
	for _, conversation := range conversations {
		w.conversation(conversation, nil)
		clients.Go(func() {
			for i := range 12 {
				turn := turnNamed(conversation, fmt.Sprintf("%s-%d", conversation, i))
				turn.Spec.DeadlineSeconds = ptr.To[int32](100_000_000)
				for { // until it is there
					_, err := w.create(turn)
					if err == nil || storage.IsExist(err) {
						break
					}
					turn.UID = uuid.NewUUID()
				}
				if i%4 == 3 {
					w.eventually("a turn is deleted", func() bool {
						_ = w.delete(turn.Name)
						return w.stored(turn.Name) == nil
					})
				}
			}
		})
	}
	clients.Wait()

	w.eventually("every turn ends", func() bool {
		list, err := w.store.List(context.Background(), func(turn *tightbeamv1.Turn) bool { return !turn.Status.Phase.Terminal() })
		return err == nil && len(list) == 0
	})
	for _, conversation := range conversations {
		w.eventually("no claim is left", func() bool { return len(w.head(conversation).Queue) == 0 })
	}
	w.eventually("no turn is left", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.Broker.turns) == 0 && len(w.Broker.conversations) == 0
	})
	all, err := w.store.List(context.Background(), func(*tightbeamv1.Turn) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 27 {
		t.Errorf("%d turns are there, and 27 were made and not deleted", len(all))
	}
	positions := map[string]sets.Set[int64]{}
	for _, turn := range all {
		c := turn.Spec.Conversation
		if positions[c] == nil {
			positions[c] = sets.New[int64]()
		}
		if positions[c].Has(turn.Status.Position) {
			t.Errorf("%s has the position of another turn: %d", turn.Name, turn.Status.Position)
		}
		positions[c].Insert(turn.Status.Position)
		if turn.Status.Phase != tightbeamv1.TurnSucceeded {
			t.Errorf("%s is %s: %+v", turn.Name, turn.Status.Phase, turn.Status.Error)
		}
		var said []tightbeamv1.Role
		for entry, err := range w.log.Read(context.Background(), types.UID("uid-"+c), tightbeamv1.LogViewRaw, 0, false) {
			if err != nil {
				t.Fatal(err)
			}
			if entry.TurnUID == string(turn.UID) {
				said = append(said, entry.Role)
			}
		}
		if !slices.Equal(said, []tightbeamv1.Role{tightbeamv1.RoleUser, tightbeamv1.RoleAssistant}) {
			t.Errorf("the log has of %s: %v", turn.Name, said)
		}
		checkNumbers(t, w.events(turn, 0))
	}
}

// checkNumbers wants one terminal event, at the end, and no number twice.
func checkNumbers(t *testing.T, events []*tightbeamv1.TurnEvent) {
	t.Helper()
	after := int64(0)
	for i, event := range events {
		if event.Number <= after {
			t.Errorf("event %d follows event %d", event.Number, after)
		}
		if after = event.Number; event.Type.Terminal() != (i == len(events)-1) {
			t.Errorf("%v", eventTypes(events))
		}
	}
}

// answer pulls turns and answers them until ctx ends. Like a job, it opens its stream
// again until it is told that the attempt is over.
func (w *world) answer(ctx context.Context, name string) {
	for ctx.Err() == nil {
		assignment, err := w.GetTurn(ctx, testNamespace, "echo", name)
		if err != nil {
			continue
		}
		for ctx.Err() == nil {
			s, err := w.Open(ctx, testNamespace, "echo", types.UID(assignment.GetTurnUid()), assignment.GetAttempt())
			if err == ErrFenced {
				break
			}
			if err != nil {
				continue
			}
			_, _ = s.Receive(ctx, textChunk("an"))
			done, err := s.Receive(ctx, completeChunk("answer"))
			s.Close()
			if done && err == nil {
				break
			}
		}
	}
}
