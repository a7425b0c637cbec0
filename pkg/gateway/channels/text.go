// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// answer is what a finished turn says to people, "" if nothing.
func answer(turn *tightbeamv1.Turn) string {
	switch turn.Status.Phase {
	case tightbeamv1.TurnSucceeded:
		if turn.Spec.Agent == tightbeamv1.RouterAgent || turn.Status.Message == nil {
			return ""
		}
		var texts []string
		for _, block := range turn.Status.Message.Content {
			if block.Text != nil && *block.Text != "" {
				texts = append(texts, *block.Text)
			}
		}
		return strings.Join(texts, "\n\n")
	case tightbeamv1.TurnCancelled:
		return "" // by somebody who knows, or by the next message
	case tightbeamv1.TurnFailed:
		// The class alone: the provider's message is for those who run this.
		class := tightbeamv1.ErrorInternal
		if turn.Status.Error != nil {
			class = turn.Status.Error.Class
		}
		return fmt.Sprintf("(no answer: %s)", class)
	}
	return ""
}

// refusal is what the sender of a message is told that became no turn.
func refusal(err error) string {
	switch {
	case apierrors.IsTooManyRequests(err):
		return "(busy: too many messages are waiting here; try again later)"
	case apierrors.IsConflict(err):
		return "(busy: wait for the answer to the message before)"
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err), apierrors.IsBadRequest(err):
		return "(this message cannot be answered)"
	}
	return "(no answer: the server cannot take messages now)"
}

// messageOf is the message of a user: text and images, nothing else comes from
// a platform.
func messageOf(content []*pb.ContentBlock) (tightbeamv1.Message, error) {
	var kept []*pb.ContentBlock
	for _, block := range content {
		if block.GetText().GetText() != "" || block.GetImage() != nil {
			kept = append(kept, block)
		}
	}
	return turns.MessageFromProto(&pb.Message{Role: string(tightbeamv1.RoleUser), Content: kept})
}

func textBlocks(text string) []*pb.ContentBlock {
	return []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: text}}}}
}
