// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"math/rand/v2"
	"strings"
	"testing"

	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestAnswerSurvivesCutConnectionsAndLostAcknowledgements(t *testing.T) {
	t.Parallel()
	for _, header := range []bool{true, false} {
		for range 8 {
			seed := rand.Uint64()
			t.Run("", func(t *testing.T) {
				t.Parallel()
				t.Logf("seed %d, header %v", seed, header)
				rnd := rand.New(rand.NewPCG(seed, 0))
				g := newGateway(t)
				g.header = header
				cuts := 0
				g.onChunk = func(string, int, *tightbeampb.TurnResultChunk) verdict {
					if cuts >= 20 {
						return keep
					}
					switch r := rnd.IntN(40); {
					case r == 0:
						cuts++
						return breakOff
					case r < 3:
						return lose
					case r < 12:
						return keepQuiet
					}
					return keep
				}
				runJob(t, config(g, nil))
				g.turns <- turn("u1", "", `{"deltas":300}`)
				checkDeltas(t, g.waitTerminal("u1/1"), 300)
			})
		}
	}
}

func checkDeltas(t *testing.T, cs []*tightbeampb.TurnResultChunk, n int) {
	t.Helper()
	want := text(cs)
	last := cs[len(cs)-1].GetComplete()
	if last == nil {
		t.Fatalf("ended with %v", cs[len(cs)-1])
	}
	if got := last.GetContent()[0].GetText().GetText(); got != want || len(strings.Fields(got)) != n {
		t.Errorf("the deltas and the message differ, or are not %d words", n)
	}
}

func TestAnswerSurvivesARestartedGateway(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	runJob(t, config(g, nil))
	g.turns <- turn("u1", "", `{"deltas":400,"delayMillis":1}`)
	for _, at := range []int{50, 150, 300} {
		g.wait("u1/1", func(cs []*tightbeampb.TurnResultChunk) bool { return len(cs) >= at })
		g.restart()
	}
	checkDeltas(t, g.waitTerminal("u1/1"), 400)
	if n := g.opened("u1/1"); n < 4 {
		t.Errorf("the answer came over %d connections, want one more than restarts", n)
	}
	g.turns <- turn("u2", "still here", "")
	if got := text(g.waitTerminal("u2/1")); got != "still here" {
		t.Errorf("the turn after the restarts: %q", got)
	}
}
