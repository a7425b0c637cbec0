// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"testing"
	"time"
)

func TestAJobWaitsForAsManyTurnsAsItHasRoomForWithinABound(t *testing.T) {
	t.Parallel()
	for room, want := range map[int]int{1: 1, 3: 3, 64: maxPolls} {
		g := newGateway(t)
		calls := make(chan struct{}, 64)
		g.onGetTurn = func() error { calls <- struct{}{}; return nil }
		cfg := config(g, nil)
		cfg.TurnsPerJob = room
		stop := runJob(t, cfg)
		for i := range want {
			select {
			case <-calls:
			case <-time.After(20 * time.Second):
				t.Fatalf("with room for %d turns: %d calls wait, want %d", room, i, want)
			}
		}
		select {
		case <-calls:
			t.Errorf("with room for %d turns more than %d calls wait", room, want)
		case <-time.After(50 * time.Millisecond):
		}
		if err := stop(); err != nil {
			t.Errorf("stopped with %v", err)
		}
	}
}
