// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func numbers(events []Event) []int64 {
	var out []int64
	for _, e := range events {
		out = append(out, e.Number)
	}
	return out
}

func TestTheHubKeepsWhatIsNotDurable(t *testing.T) {
	t.Parallel()
	h := newHub(0)
	big := []byte(strings.Repeat("x", keepBytes/4))
	for n := range int64(10) {
		h.append(Event{Number: n + 1, JSON: big})
	}
	if got := len(h.pending()); got != 10 {
		t.Errorf("%d pending", got)
	}
	h.persisted(8)
	if events, older, _, _ := h.after(0); !older || len(events) > 0 {
		t.Error("trimmed events are not told to be in the journal")
	}
	events, older, ended, _ := h.after(6)
	if older || ended || len(events) != 4 {
		t.Errorf("after 6: %v, older %v", numbers(events), older)
	}
	if got := numbers(h.pending()); len(got) != 2 || got[0] != 9 {
		t.Errorf("pending %v", got)
	}
}

func TestAGapInTheHubIsNoMissingEvent(t *testing.T) {
	t.Parallel()
	h := newHub(5) // 6 to 10 may have been lost
	h.append(Event{Number: 11})
	for _, after := range []int64{5, 8, 10} {
		if events, older, _, _ := h.after(after); older || len(events) != 1 {
			t.Errorf("after %d: %v, older %v", after, numbers(events), older)
		}
	}
	if _, older, _, _ := h.after(3); !older {
		t.Error("what was durable before is in the journal")
	}
}

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
	if hub := w.find(turn.UID).hub; len(hub.events) > keepBytes/10_000+1 {
		t.Errorf("%d events are kept", len(hub.events))
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
