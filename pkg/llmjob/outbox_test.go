// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func chunk(text string) *tightbeampb.TurnResultChunk {
	return &tightbeampb.TurnResultChunk{Chunk: &tightbeampb.TurnResultChunk_ContentDelta{ContentDelta: &tightbeampb.ContentDelta{Text: text}}}
}

func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	o := newOutbox(100)
	big := strings.Repeat("x", 60)
	if err := o.put(t.Context(), chunk(big)); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { second <- o.put(t.Context(), chunk(big)) }()
	select {
	case err := <-second:
		t.Fatalf("the second chunk found room: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	o.ack(1)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	o.ack(2)
	// What is larger than the bound goes alone; the terminal chunk always goes.
	if err := o.put(t.Context(), chunk(strings.Repeat("x", 500))); err != nil {
		t.Fatal(err)
	}
	o.seal(chunk(big))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.put(ctx, chunk("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("put without room and with an ended context: %v", err)
	}
	close(o.gone)
	if err := o.put(t.Context(), chunk("x")); !errors.Is(err, errAbandoned) {
		t.Errorf("put when nobody sends: %v", err)
	}
}

func TestOutboxKeepsWhatIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	o := newOutbox(1 << 20)
	for _, s := range []string{"a", "b", "c"} {
		if err := o.put(t.Context(), chunk(s)); err != nil {
			t.Fatal(err)
		}
	}
	next := func(after int64) string {
		c, err := o.next(t.Context(), after)
		if err != nil || c == nil {
			return "-"
		}
		return c.GetContentDelta().GetText()
	}
	if next(0) != "a" || next(2) != "c" {
		t.Error("chunks are not in order")
	}
	o.ack(2)
	o.ack(1)  // late
	o.ack(-5) // nonsense
	if next(0) != "c" || next(2) != "c" || o.durable() != 2 {
		t.Errorf("after ack 2: %q, %q, durable %d", next(0), next(2), o.durable())
	}
	o.ack(99) // a number that was never given means all there is
	o.seal(chunk("end"))
	if o.done() || next(3) != "end" {
		t.Error("done before the terminal chunk is durable")
	}
	o.ack(4)
	if !o.done() || next(4) != "-" || o.bytes != 0 {
		t.Errorf("done %v, %d bytes", o.done(), o.bytes)
	}
}
