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
	"safebeam.dev/safebeam/pkg/gateway/events"
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
