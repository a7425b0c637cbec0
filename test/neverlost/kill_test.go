// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/harness"
)

// pace makes answers long enough to be hit, and short enough for many.
const pace = `{"deltas": 30, "delayMillis": 4}`

func TestAcknowledgedTurnsSurviveKillOfTheServer(t *testing.T) {
	t.Parallel()
	random := random(t)
	s := harness.Start(t)
	s.AddModel("echo", pace, &tightbeamv1.ModelJobs{Max: ptr.To[int32](2)})
	const conversations = 6
	for c := range conversations {
		s.AddConversation(fmt.Sprintf("c%d", c), "echo")
	}
	stop := startClient(t, s, turnLoad, conversations)
	for round := range rounds(t, 12) {
		time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
		s.Kill()
		if random.IntN(4) == 0 {
			// The jobs die with it, as in a power cut: what they had and the
			// server did not is lost for good.
			for _, pid := range s.Jobs() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if random.IntN(8) == 0 {
			time.Sleep(3500 * time.Millisecond) // longer than --job-grace
		}
		s.Restart()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	check(t, s, stop())
}

func TestAcknowledgedTurnsSurviveKillOfTheirJobs(t *testing.T) {
	t.Parallel()
	random := random(t)
	s := harness.Start(t)
	s.AddModel("echo", pace, &tightbeamv1.ModelJobs{Min: ptr.To[int32](2), Max: ptr.To[int32](2)})
	const conversations = 6
	for c := range conversations {
		s.AddConversation(fmt.Sprintf("c%d", c), "echo")
	}
	stop := startClient(t, s, turnLoad, conversations)
	for range rounds(t, 6) {
		time.Sleep(time.Duration(200+random.IntN(800)) * time.Millisecond)
		if pids := s.Jobs(); len(pids) > 0 {
			_ = syscall.Kill(pids[random.IntN(len(pids))], syscall.SIGKILL)
		}
	}
	check(t, s, stop())
}

func TestATurnWhoseReadersGoAwayGoesOn(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	s.AddModel("echo", `{"deltas": 40, "delayMillis": 10}`, nil)
	s.AddConversation("alone", "echo")
	ctx := context.Background()
	turn, err := s.Client.TightbeamV1().Turns(namespace).Create(ctx, harness.NewTurn("alone", "alone", "hello"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		reading, cancel := context.WithTimeout(ctx, 15*time.Millisecond)
		if body, err := s.Client.TightbeamV1().RESTClient().Get().Namespace(namespace).Resource("turns").Name(turn.Name).
			SubResource("stream").Stream(reading); err == nil {
			_, _ = io.Copy(io.Discard, body) // until the time is up
			body.Close()
		}
		cancel()
	}
	body, err := s.Get("turns/alone/log?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	turn, err = s.Client.TightbeamV1().Turns(namespace).Get(ctx, turn.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if turn.Status.Phase != tightbeamv1.TurnSucceeded || len(turn.Status.Attempts) != 1 {
		t.Errorf("the turn is %s after %d attempts:\n%s", turn.Status.Phase, len(turn.Status.Attempts), body)
	}
}
