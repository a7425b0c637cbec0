// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestEveryFlagOfATurnIsSent(t *testing.T) {
	dir := t.TempDir()
	picture := filepath.Join(dir, "leaf")
	if err := os.WriteFile(picture, []byte("\x89PNG\r\n\x1a\n..."), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAPI(t)
	out, _, err := a.run("kubectl-create-turn", "from stdin\n", "tea", "-n", "other", "--name", "first", "-m", "one", "--message", "two",
		"--message-file", "-", "--image", picture, "--system", "", "--model", "large", "--agent", "cook",
		"--max-tokens", "7", "--deadline", "1500ms", "--ttl", "0s")
	if err != nil {
		t.Fatal(err)
	}
	if out != "turn.tightbeam.dev/first created\n" {
		t.Errorf("printed %q", out)
	}
	got, err := yaml.Marshal(a.only())
	if err != nil {
		t.Fatal(err)
	}
	want := `metadata:
  name: first
  namespace: other
spec:
  agent: cook
  conversation: tea
  deadlineSeconds: 2
  maxTokens: 7
  messages:
  - content:
    - text: one
    - text: two
    - text: from stdin
    - image:
        data: iVBORw0KGgouLi4=
        mediaType: image/png
    role: user
  model: large
  system: ""
  ttlSecondsAfterFinished: 0
`
	if text := strings.ReplaceAll(string(got), "status: {}\n", ""); !strings.Contains(text, want) {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
	if want := "fieldManager=kubectl-create&fieldValidation=Strict"; a.queries[0] != want {
		t.Errorf("query %s, want %s", a.queries[0], want)
	}
}

func TestEveryFlagOfAConversationIsSent(t *testing.T) {
	a := newAPI(t)
	out, _, err := a.run("kubectl-create-conversation", "", "tea", "--model", "small", "--title", "About tea", "--system", "Be brief.",
		"--concurrency-policy", "Reject", "--max-queued-turns", "3", "--history-max-messages", "9", "--ttl", "24h", "--fork-from", "coffee@4", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	if out != "conversation.tightbeam.dev/tea\n" {
		t.Errorf("printed %q", out)
	}
	got, err := yaml.Marshal(a.conversations["tea"].Spec)
	if err != nil {
		t.Fatal(err)
	}
	want := `concurrencyPolicy: Reject
forkFrom:
  afterIndex: 4
  conversation: coffee
history:
  maxMessages: 9
maxQueuedTurns: 3
model: small
system: Be brief.
title: About tea
ttlSecondsAfterLastTurn: 86400
`
	if string(got) != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
}

func TestDryRunSendsNothingOrSaysThatItIsOne(t *testing.T) {
	a := newAPI(t)
	for _, plugin := range [][]string{{"kubectl-create-turn", "tea", "-m", "hi"}, {"kubectl-create-conversation", "tea", "--model", "small"}} {
		out, _, err := a.run(plugin[0], "", append(plugin[1:], "--dry-run=client", "-o", "json")...)
		if err != nil {
			t.Fatal(err)
		}
		var meta metav1.TypeMeta
		if err := json.Unmarshal([]byte(out), &meta); err != nil || meta.APIVersion != "tightbeam.dev/v1" {
			t.Errorf("printed %s: %v", out, err)
		}
		if len(a.queries) != 0 {
			t.Errorf("%s asked the server", plugin[0])
		}
		out, _, err = a.run(plugin[0], "", append(plugin[1:], "--dry-run=server")...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out, " created (server dry run)\n") || !strings.Contains(a.queries[0], "dryRun=All") {
			t.Errorf("printed %q after %v", out, a.queries)
		}
		a.queries = nil
	}
}

func TestMistakesAreNamed(t *testing.T) {
	a := newAPI(t)
	notText := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(notText, []byte{0xff, 0xfe, 0x00}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		plugin string
		args   string
		want   string
	}{
		{"kubectl-create-turn", "", "CONVERSATION is missing"},
		{"kubectl-create-turn", "tea hello", "quote what has spaces in it"},
		{"kubectl-create-turn", "tea", "nothing to say"},
		{"kubectl-create-turn", "tea --message=", "--message is empty"},
		{"kubectl-create-turn", "../tea -m hi", `conversation "../tea"`},
		{"kubectl-create-turn", "tea -m hi --name A", `--name "A"`},
		{"kubectl-create-turn", "tea -m hi --deadline 0s", "--deadline=0s"},
		{"kubectl-create-turn", "tea -m hi --dry-run=maybe", "invalid dry-run value"},
		{"kubectl-create-turn", "tea -m hi --follow -o json", "choose one of them"},
		{"kubectl-create-turn", "tea -m hi --follow --dry-run=server", "choose one of them"},
		{"kubectl-create-turn", "tea -m hi -o pictures", `"pictures"`},
		{"kubectl-create-turn", "tea --message-file /nonexistent", "--message-file: open /nonexistent"},
		{"kubectl-create-turn", "tea --message-file " + notText, "is not text in UTF-8"},
		{"kubectl-create-turn", "tea --message-file -", "is empty"},
		{"kubectl-create-turn", "tea --image " + notText, "not one of image/png"},
		{"kubectl-create-conversation", "tea", "model"},
		{"kubectl-create-conversation", "tea --model=", "--model is missing"},
		{"kubectl-create-conversation", "tea --model m --fork-from coffee@x", `"x" is not the index of a message`},
		{"kubectl-chat", "nosuch", "give --model to begin it"},
		{"kubectl-chat", "a b", "one CONVERSATION is expected"},
	} {
		out, _, err := a.run(test.plugin, "", strings.Fields(test.args)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v, want an error with %q", test.plugin, test.args, err, test.want)
		}
		if out != "" {
			t.Errorf("%s %s: printed %q", test.plugin, test.args, out)
		}
	}
	if len(a.turns)+len(a.conversations) != 0 {
		t.Error("something was created")
	}
}

func TestErrorsOfTheServerAreTold(t *testing.T) {
	a := newAPI(t)
	a.refuse = []error{apierrors.NewInvalid(tightbeamv1.Kind("Turn"), "x", nil)}
	if _, _, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi"); !apierrors.IsInvalid(err) {
		t.Errorf("error is %v", err)
	}
	a.server.Close()
	_, _, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi")
	if err == nil || !strings.Contains(err.Error(), "no server answers at 127.0.0.1:") {
		t.Errorf("error is %v", err)
	}
}

func TestRequestThatIsRepeatedMakesOneTurn(t *testing.T) {
	a := newAPI(t)
	a.cut = 1
	out, _, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi")
	if err != nil {
		t.Fatal(err)
	}
	if want := "turn.tightbeam.dev/" + a.only().Name + " unchanged\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
}
