// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestHelpSpeaksOfTheCommandAsItIsTyped(t *testing.T) {
	a := newAPI(t)
	for plugin, want := range map[string]string{
		"kubectl-create-turn":         "kubectl create turn CONVERSATION --message=TEXT",
		"kubectl-create-conversation": "kubectl create conversation NAME --model=MODEL",
		"kubectl-chat":                "kubectl chat CONVERSATION",
	} {
		out, _, err := a.run(plugin, "", "--help")
		if err != nil || !strings.Contains(out, "Usage:\n  "+want+"\n") || !strings.Contains(out, "Examples:\n  # ") {
			t.Errorf("%s --help: %v\n%s", plugin, err, out)
		}
	}
}

func TestCompletionNamesConversations(t *testing.T) {
	a := newAPI(t)
	for _, name := range []string{"tea", "teapot", "coffee"} {
		a.conversations[name] = &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	for _, plugin := range []string{"kubectl_complete-create-turn", "kubectl_complete-chat"} {
		out, _, err := a.run(plugin, "", "te")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, "tea\n") || !strings.Contains(out, "teapot\n") || strings.Contains(out, "coffee") || !strings.HasSuffix(out, ":4\n") {
			t.Errorf("%s completes te to %q", plugin, out)
		}
	}
}

func TestSafebeamHasTheSameCommands(t *testing.T) {
	var names []string
	for _, command := range Commands(genericiooptions.NewTestIOStreamsDiscard()) {
		names = append(names, command.Name())
		for _, sub := range command.Commands() {
			names = append(names, command.Name()+" "+sub.Name())
		}
	}
	if got := strings.Join(names, ", "); got != "create, create conversation, create turn, chat, sandbox, sandbox cp, sandbox create, sandbox exec, sandbox logs, sandbox ls, sandbox run" {
		t.Errorf("commands are %s", got)
	}
}
