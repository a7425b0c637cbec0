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
	for plugin, args := range map[string][]string{"kubectl-create-turn": {"__complete", "te"}, "kubectl_complete-chat": {"te"}} {
		out, _, err := a.run(plugin, "", args...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, "tea\n") || !strings.Contains(out, "teapot\n") || strings.Contains(out, "coffee") || !strings.HasSuffix(out, ":4\n") {
			t.Errorf("%s completes te to %q", plugin, out)
		}
	}
}

func TestHelpShowsTheFlagsOfTheCommandAndNotThoseOfAll(t *testing.T) {
	a := newAPI(t)
	out, _, err := a.run("kubectl-chat", "", "--help")
	if err != nil || !strings.Contains(out, "--model") || strings.Contains(out, "--certificate-authority") || !strings.Contains(out, "kubectl options") {
		t.Errorf("%v\n%s", err, out)
	}
	// They are there, and completed.
	if out, _, err = a.run("kubectl-chat", "", "__complete", "--certificate-a"); err != nil || !strings.Contains(out, "--certificate-authority") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhoMistypesIsToldWhereItStands(t *testing.T) {
	a := newAPI(t)
	for _, test := range []struct {
		plugin, want string
		args         []string
	}{
		{"kubectl-chat", "unknown flag: --modl\nSee 'kubectl chat --help'", []string{"tea", "--modl", "x"}},
		{"kubectl-create-turn", "CONVERSATION is missing: kubectl create turn CONVERSATION --message=TEXT\nSee", nil},
		{"kubectl-create-conversation", "kubectl get tightbeammodels", []string{"tea"}},
		{"kubectl-sandbox", `unknown command "exce" for "kubectl sandbox": did you mean exec?`, []string{"exce", "box"}},
		{"kubectl-sandbox", "See 'kubectl sandbox --help'", []string{"delete", "box"}},
		{"kubectl-sandbox", "kubectl get runtimeenvironments", []string{"create", "box"}},
		{"kubectl-sandbox", "unknown shorthand flag: 'l' in -l; what shall run comes behind two dashes", []string{"exec", "box", "ls", "-l"}},
	} {
		if _, _, err := a.run(test.plugin, "", test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %q: %v, want %q", test.plugin, test.args, err, test.want)
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
