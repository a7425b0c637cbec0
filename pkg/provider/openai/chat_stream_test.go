// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/pkg/provider/internal/sse"
)

// FuzzChatStream: whatever a server writes, there is an answer or an error, an
// answer only with a finish reason, and every block that started has stopped.
func FuzzChatStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":-1,\"function\":{\"arguments\":{\"a\":1}}}]},\"finish_reason\":\"tool_calls\"}]}\n\n"))
	f.Add([]byte("data: {\"error\":\"x\"}\n\ndata: {\"error\":{\"code\":502}}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"message\":{\"content\":\"a\",\"reasoning\":\"r\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":-1}}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		open := 0
		s := newChatStream(provider.NewAnswer(provider.OpenAI, "m", func(ev provider.Event) error {
			switch {
			case ev.Start != nil:
				open++
			case ev.Stop != nil:
				open--
			}
			return nil
		}), nil)
		res, err := s.read(t.Context(), sse.NewReaderLimit(bytes.NewReader(in), 1<<16))
		switch {
		case (res == nil) == (err == nil):
			t.Fatalf("result %v and error %v", res, err)
		case res != nil && (res.RawStopReason == "" || open != 0):
			t.Fatalf("an answer without a finish reason, or with %d open blocks: %+v", open, res)
		}
		if res == nil {
			return
		}
		ids := map[string]bool{}
		for _, c := range res.ToolCalls {
			if c.ID == "" || ids[c.ID] {
				t.Fatalf("tool call id %q is empty or given twice", c.ID)
			}
			ids[c.ID] = true
		}
	})
}
