// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// entry is short for one message of a turn.
func entry(turn string, role tightbeamv1.Role, text string, change ...func(*tightbeamv1.LogEntry)) tightbeamv1.LogEntry {
	e := tightbeamv1.LogEntry{TurnUID: turn, Role: role}
	if text != "" {
		e.Content = []tightbeamv1.ContentBlock{{Text: &text}}
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func by(agent string) func(*tightbeamv1.LogEntry) {
	return func(e *tightbeamv1.LogEntry) { e.Agent = agent }
}

func calls(ids ...string) func(*tightbeamv1.LogEntry) {
	return func(e *tightbeamv1.LogEntry) {
		for _, id := range ids {
			e.ToolCalls = append(e.ToolCalls, tightbeamv1.ToolCall{ID: id})
		}
	}
}

func answers(id string) func(*tightbeamv1.LogEntry) {
	return func(e *tightbeamv1.LogEntry) { e.ToolCallID = id }
}

func partial(e *tightbeamv1.LogEntry) { e.Partial = true }

func texts(log []tightbeamv1.LogEntry) []string {
	out := []string{}
	for _, e := range log {
		text := ""
		if len(e.Content) > 0 {
			text = ptr.Deref(e.Content[0].Text, "image")
		}
		out = append(out, string(e.Role)+":"+text)
	}
	return out
}

const (
	user      = tightbeamv1.RoleUser
	assistant = tightbeamv1.RoleAssistant
	tool      = tightbeamv1.RoleTool
)

func TestRender(t *testing.T) {
	t.Parallel()
	image := func(e *tightbeamv1.LogEntry) {
		e.Content = []tightbeamv1.ContentBlock{{Image: &tightbeamv1.ImageBlock{}}}
	}
	for name, c := range map[string]struct {
		log  []tightbeamv1.LogEntry
		max  int
		want []string
	}{
		"nothing": {want: []string{}},
		"one agent is not named": {
			log:  []tightbeamv1.LogEntry{entry("1", user, "q"), entry("1", assistant, "a", by("x"))},
			want: []string{"user:q", "assistant:a"},
		},
		"two agents are": {
			log: []tightbeamv1.LogEntry{
				entry("1", user, "q", by("x")), entry("1", assistant, "a", by("x")), entry("1", assistant, "b", by("y")),
				entry("2", assistant, "nobody"), entry("2", assistant, "", by("x"), image), entry("2", tool, "t", by("y")),
			},
			want: []string{"user:q", "assistant:[x]: a", "assistant:[y]: b", "assistant:nobody", "assistant:image", "tool:t"},
		},
		"partial answers are left out": {
			log:  []tightbeamv1.LogEntry{entry("1", user, "q"), entry("1", assistant, "half", partial), entry("2", user, "r")},
			want: []string{"user:q", "user:r"},
		},
		"a turn that was rolled back is left out": {
			log: []tightbeamv1.LogEntry{
				entry("1", user, "q"), entry("2", user, "no"), entry("2", tightbeamv1.RoleRollback, ""), entry("3", user, "r"),
			},
			want: []string{"user:q", "user:r"},
		},
		"the window begins at a user": {
			log:  []tightbeamv1.LogEntry{entry("1", user, "q"), entry("1", assistant, "a"), entry("2", user, "r"), entry("2", assistant, "b")},
			max:  3,
			want: []string{"user:r", "assistant:b"},
		},
		"the window widens rather than cut a tool loop": {
			log: []tightbeamv1.LogEntry{
				entry("1", user, "old"), entry("1", assistant, "a"), entry("2", user, "q"),
				entry("2", assistant, "", calls("c")), entry("3", tool, "t", answers("c")), entry("3", assistant, "done"),
			},
			max:  2,
			want: []string{"user:q", "assistant:", "tool:t", "assistant:done"},
		},
		"agents before the window count": {
			log: []tightbeamv1.LogEntry{
				entry("1", user, "q"), entry("1", assistant, "a", by("x")), entry("2", user, "r"), entry("2", assistant, "b", by("y")),
			},
			max:  2,
			want: []string{"user:r", "assistant:[y]: b"},
		},
	} {
		before, _ := json.Marshal(c.log)
		if diff := cmp.Diff(c.want, texts(Render(c.log, c.max))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if after, _ := json.Marshal(c.log); string(after) != string(before) {
			t.Errorf("%s: the log was changed", name)
		}
	}
}

func TestOpenToolCallsAreThoseWithoutAnswer(t *testing.T) {
	t.Parallel()
	open, called := OpenToolCalls([]tightbeamv1.LogEntry{
		entry("1", assistant, "", calls("a", "b", "c")), entry("2", tool, "", answers("b")),
	})
	if diff := cmp.Diff([]string{"a", "c"}, open); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]bool{"a": true, "b": true, "c": true}, called); diff != "" {
		t.Error(diff)
	}
}
