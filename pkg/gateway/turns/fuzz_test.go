// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// FuzzReceive sends chunks of any shape, as they come off the wire, and holds
// the turn to its laws: it is readable to one terminal event, its numbers have
// no gap, and the conversation goes on.
func FuzzReceive(f *testing.F) {
	pack := func(chunks ...*pb.TurnResultChunk) []byte {
		var out []byte
		for _, chunk := range chunks {
			data, err := proto.Marshal(chunk)
			if err != nil {
				f.Fatal(err)
			}
			out = protowire.AppendBytes(out, data)
		}
		return out
	}
	f.Add(pack(textChunk("a"), completeChunk("a")))
	f.Add(pack(&pb.TurnResultChunk{}, &pb.TurnResultChunk{Sequence: -1}, &pb.TurnResultChunk{Sequence: 1 << 62}))
	f.Add(pack(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ToolUseInput{}}, &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ContentDelta{}, BlockIndex: -5}))
	f.Add(pack(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
		ToolCalls: []*pb.ToolCall{{InputJson: "nope"}}, Content: []*pb.ContentBlock{{}, nil},
	}}}))
	f.Add(pack(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Error{Error: &pb.TurnError{Class: 99, RetryAfterMillis: -1 << 62}}}))
	f.Add(pack(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_BlockStart{BlockStart: &pb.BlockStart{Kind: "\x00odd"}}}))
	w := newWorld(f, fast)
	turnCount := 0
	f.Fuzz(func(t *testing.T, data []byte) {
		turnCount++
		w.t = t
		turn := w.mustCreate(turnNamed("c", fmt.Sprint("turn-", turnCount)))
		j := w.pull("echo")
		for len(data) > 0 {
			encoded, n := protowire.ConsumeBytes(data)
			if n < 0 {
				break
			}
			data = data[n:]
			chunk := &pb.TurnResultChunk{}
			if proto.Unmarshal(encoded, chunk) != nil {
				continue
			}
			if done, _ := j.Receive(context.Background(), chunk); done {
				break
			}
		}
		j.Close()
		if _, err := w.Cancel(context.Background(), turn, "enough"); err != nil {
			t.Fatal(err)
		}
		w.finished(turn.Name)
		events := w.events(turn, 0)
		for i, event := range events {
			if event.Number != int64(i+1) {
				t.Fatalf("event %d has the number %d", i+1, event.Number)
			}
			if event.Type.Terminal() != (i == len(events)-1) {
				t.Fatalf("event %d of %d is %s", i+1, len(events), event.Type)
			}
		}
		w.texts("c")
		if err := w.delete(turn.Name); err != nil {
			t.Fatal(err)
		}
	})
}
