// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

func TestAConversationThatTheWatchCacheHasIsNotParsedAgain(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{})
	// Two reads of the watch cache share what they point to. It may be behind for
	// a moment: the conversation was just made, and its status is being written.
	shared := func() bool {
		var finalizer [2]*string
		for i := range finalizer {
			conversation, err := s.Storages.Broker.Conversation(t.Context(), namespace, "c")
			if err != nil {
				t.Fatal(err)
			}
			finalizer[i] = &conversation.Finalizers[0]
		}
		return finalizer[0] == finalizer[1]
	}
	for end := time.Now().Add(time.Minute); !shared(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("each read parses what is stored")
		}
	}
}
