// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"testing"

	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestAJobIsToldWhatIsDurableThoughItFallsSilent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.client("admin").Turn(testContext(t, "safebeam-turn", "one"), ask("hi")); err != nil {
		t.Fatal(err)
	}
	client := r.job("default", "echo")
	assignment, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{})
	if err != nil {
		t.Fatal(err)
	}
	open := func() pb.TightbeamController_StreamTurnResultAckedClient {
		result, err := client.StreamTurnResultAcked(testContext(t, "safebeam-turn-uid", assignment.GetTurnUid(), "safebeam-attempt", "1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := result.Header(); err != nil {
			t.Fatal(err)
		}
		return result
	}
	say := func(to pb.TightbeamController_StreamTurnResultAckedClient, sequence int64) {
		chunk := delta("a")
		chunk.Sequence = sequence
		if err := to.Send(chunk); err != nil {
			t.Fatal(err)
		}
	}
	told := func(by pb.TightbeamController_StreamTurnResultAckedClient, want int64) {
		for received := int64(0); received < want; {
			ack, err := by.Recv()
			if err != nil || ack.GetCancel() || ack.GetReceived() <= received {
				t.Fatalf("told %v after %d, %v", ack, received, err)
			}
			received = ack.GetReceived()
		}
	}
	first := open()
	say(first, 1)
	say(first, 2)
	told(first, 2)
	say(first, 3)
	told(first, 3)
	// What was taken from another connection is acknowledged on this one, too.
	second := open()
	say(second, 3)
	told(second, 3)
}
