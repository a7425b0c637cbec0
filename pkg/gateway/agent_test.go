// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/authentication/user"

	"safebeam.dev/safebeam/apis/tightbeam/validation"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// FuzzTurnOf takes requests of any shape off the wire: they become a turn that
// can be validated and sent on, or are refused.
func FuzzTurnOf(f *testing.F) {
	for _, request := range []*pb.TurnRequest{
		{},
		{Messages: []*pb.Message{nil, {Role: "user", Content: []*pb.ContentBlock{{}, {Block: &pb.ContentBlock_Native{}}}}}},
		{Tools: []*pb.ToolDefinition{{ParametersJson: "{}"}, {ParametersJson: "[]"}}},
		{MaxTokens: 1 << 31, DeadlineSeconds: 1<<32 - 1, ResponseSchemaJson: "null"},
		{Messages: []*pb.Message{{Role: "assistant", ToolCalls: []*pb.ToolCall{{InputJson: `{"a":`}}}}},
	} {
		data, err := proto.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "c", "name")
	}
	f.Fuzz(func(t *testing.T, data []byte, conversation, name string) {
		request := &pb.TurnRequest{}
		if proto.Unmarshal(data, request) != nil {
			return
		}
		turn, err := turnOf(request, &agent{
			user: &user.DefaultInfo{}, namespace: "ns",
			metadata: metadata.Pairs(metadataConversation, conversation, metadataTurn, name),
		})
		if err != nil {
			return
		}
		_ = validation.Turn(turn)
		for i := range turn.Spec.Messages {
			back, err := turns.MessageFromProto(turns.MessageToProto(&turn.Spec.Messages[i]))
			if err != nil {
				t.Fatalf("message %d does not come back: %v", i, err)
			}
			if len(back.Content) != len(turn.Spec.Messages[i].Content) {
				t.Fatalf("message %d loses content", i)
			}
		}
	})
}
