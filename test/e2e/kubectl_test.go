// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"safebeam.dev/safebeam/test/harness"
)

var buildKubectl = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("KUBECTL"); path != "" {
		return path, nil
	}
	path, err := filepath.Abs("../../bin/kubectl")
	if err != nil {
		return "", err
	}
	build := exec.Command("make", "-C", "../..", "-s", "kubectl")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building kubectl: %w\n%s", err, output)
	}
	return path, nil
})

// shell runs kubectl as somebody who has followed the README does.
type shell struct {
	t       *testing.T
	kubectl string
	server  *harness.Server
}

func newShell(t *testing.T, s *harness.Server) shell {
	t.Helper()
	kubectl, err := buildKubectl()
	if err != nil {
		t.Fatal(err)
	}
	return shell{t, kubectl, s}
}

func (s shell) command(ctx context.Context, input string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, s.kubectl, args...)
	command.Stdin = strings.NewReader(input)
	command.Env = append(os.Environ(),
		"KUBECONFIG="+s.server.Kubeconfig,
		"PATH="+harness.Programs(s.t)+":"+filepath.Dir(s.kubectl)+":"+os.Getenv("PATH"),
		"KUBECACHEDIR="+filepath.Join(s.server.Dir, "cache"), "HOME="+s.server.Dir)
	return command
}

// try runs kubectl and returns what it printed, to both.
func (s shell) try(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	begin := time.Now()
	output, err := s.command(ctx, input, args...).CombinedOutput()
	if took := time.Since(begin); took > 3*time.Second {
		s.t.Logf("kubectl %s took %s", strings.Join(args, " "), took.Round(time.Millisecond))
	}
	return string(output), err
}

// run runs kubectl, which must succeed and print all of want.
func (s shell) run(input string, args []string, want ...string) string {
	s.t.Helper()
	output, err := s.try(input, args...)
	if err != nil {
		s.t.Errorf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return s.contains(output, args, want...)
}

// refuse runs kubectl, which must fail and print all of want.
func (s shell) refuse(input string, args []string, want ...string) string {
	s.t.Helper()
	output, err := s.try(input, args...)
	if err == nil {
		s.t.Errorf("kubectl %s succeeded:\n%s", strings.Join(args, " "), output)
	}
	return s.contains(output, args, want...)
}

func (s shell) contains(output string, args []string, want ...string) string {
	s.t.Helper()
	for _, text := range want {
		if !strings.Contains(output, text) {
			s.t.Errorf("kubectl %s does not say %q:\n%s", strings.Join(args, " "), text, output)
		}
	}
	return output
}

func words(text string) []string { return strings.Fields(text) }

const objects = `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo, labels: {team: a}}
spec: {provider: echo, model: echo, description: repeats}
---
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: slow}
spec: {provider: echo, model: echo, parameters: {deltas: 4000, delayMillis: 25}}
---
apiVersion: tightbeam.dev/v1
kind: Conversation
metadata: {name: hello, labels: {team: a}}
spec: {model: echo, title: Hello}
---
apiVersion: tightbeam.dev/v1
kind: Turn
metadata: {name: first}
spec:
  conversation: hello
  messages: [{role: user, content: [{text: good morning}]}]
`

func TestKubectlWorksAgainstStandalone(t *testing.T) {
	server := harness.Start(t)
	k := newShell(t, server)

	k.run("", words("api-resources --api-group tightbeam.dev"), "conversations", "conv", "turns", "tightbeammodels", "tbm", "tightbeamchannels", "tbc")
	k.run(objects, words("apply -f -"), "tightbeammodel.tightbeam.dev/echo created", "turn.tightbeam.dev/first created")
	k.run("", words("wait --for=condition=Complete turn/first --timeout=30s"), "condition met")
	k.run("", words("get turns"), "NAME", "CONVERSATION", "PHASE", "first", "hello", "Succeeded", "EndTurn")
	k.run("", words("get tbm,conv,turns -o wide"), "echo", "hello", "first")
	k.run("", words("get safebeam"), "tightbeammodel.tightbeam.dev/echo", "conversation.tightbeam.dev/hello", "turn.tightbeam.dev/first")
	k.run("", words("get turn first -o jsonpath={.status.message.content[0].text}"), "good morning")
	k.run("", words("describe turn first"), "Name:", "first", "Succeeded", "good morning")
	k.run("", words("describe conversation hello"), "hello")
	k.run("", words("explain turn.spec.messages"), "new messages only")
	k.run("", words("explain conversation.spec.concurrencyPolicy"), "Enqueue")
	k.run("", words("explain tightbeammodel.spec.jobs.min"), "FIELD: min")
	k.run("", words("get turns --field-selector spec.conversation=hello,status.phase=Succeeded -o name"), "turn.tightbeam.dev/first")
	if out := k.run("", words("get turns --field-selector status.phase=Failed -o name")); strings.Contains(out, "first") {
		t.Errorf("a field selector does not select: %s", out)
	}
	k.refuse("", words("get turns --field-selector spec.nothing=x"), "spec.nothing")
	k.run("", words("get conv -l team=a -o name"), "conversation.tightbeam.dev/hello")
	k.run("", words("get --raw /readyz"), "ok")
	k.run("", words("get --raw /metrics"), "safebeam_store_log_sync_duration_seconds_count")

	// Changes of every kind.
	k.run("", words("label conv hello colour=blue"), "labeled")
	k.run("", []string{"patch", "conv", "hello", "--type=merge", "-p", `{"spec":{"title":"Changed"}}`}, "patched")
	k.run("", []string{"patch", "conv", "hello", "--type=json", "-p", `[{"op":"replace","path":"/spec/title","value":"Again"}]`}, "patched")
	k.run("", words("get conv hello -o jsonpath={.spec.title}"), "Again")
	k.run("apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: hello}\nspec: {model: echo, title: Mine}\n",
		words("apply --server-side --field-manager=one --force-conflicts -f -"), "serverside-applied")
	k.refuse("apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: hello}\nspec: {model: echo, title: Yours}\n",
		words("apply --server-side --field-manager=two -f -"), "conflict", ".spec.title")
	edit := filepath.Join(server.Dir, "editor")
	if err := os.WriteFile(edit, []byte("#!/bin/sh\nsed -i 's/title: Mine/title: Edited/' \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBE_EDITOR", edit)
	k.run("", words("edit conv hello"), "edited")
	k.run("", words("get conv hello -o jsonpath={.spec.title}"), "Edited")
	k.refuse("", []string{"patch", "turn", "first", "--type=merge", "-p", `{"spec":{"agent":"x"}}`}, "spec")

	// Streams.
	raw := "/apis/tightbeam.dev/v1/namespaces/default/"
	out := k.run("", words("get --raw "+raw+"turns/first/log?follow=true"), `"type":"Started"`, `"type":"Completed"`)
	if n := strings.Count(out, "\n"); n < 4 {
		t.Errorf("the log of the turn has %d lines", n)
	}
	k.run("", words("get --raw "+raw+"turns/first/log?after=3"), `"type":"Completed"`)
	k.refuse("", words("get --raw "+raw+"turns/first/log?after=100000"), "after")
	k.run("", words("get --raw "+raw+"conversations/hello/log"), `"role":"user"`, `"role":"assistant"`, "good morning")
	k.run("", words("get --raw "+raw+"conversations/hello/log?view=provider&limit=1"), `"index":1`)

	// Cancel, and a watch that sees it.
	k.run("", words("create conversation long --model slow"))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var seen bytes.Buffer
	watch := k.command(ctx, "", words("get turns -w --field-selector spec.conversation=long --output-watch-events")...)
	watch.Stdout = &seen
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	k.run("", words("create turn long --name doomed --message hello"), "doomed")
	eventually(t, 20*time.Second, func() error {
		out, err := k.try("", words("get turn doomed -o jsonpath={.status.phase}")...)
		if err == nil && out != "Running" {
			err = fmt.Errorf("the turn is %s", out)
		}
		return err
	})
	k.run("", append(words("create --raw "+raw+"turns/doomed/cancel -f"), "/dev/null"), `"phase":"Cancelled"`)
	k.run("", append(words("create --raw "+raw+"turns/doomed/cancel -f"), "/dev/null"), `"phase":"Cancelled"`)
	k.run("", words("wait --for=jsonpath={.status.phase}=Cancelled turn/doomed --timeout=10s"))
	cancel()
	_ = watch.Wait()
	for _, want := range []string{"ADDED", "Running", "Cancelled"} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("the watch did not see %s:\n%s", want, seen.String())
		}
	}

	// The end of a conversation is the end of its turns.
	k.run("", words("delete conversation hello --timeout=30s"), "deleted")
	k.refuse("", words("get turn first"), "not found")
	k.refuse("", words("get conversation hello"), "not found")
}

func TestPluginsCreateAndFollow(t *testing.T) {
	k := newShell(t, harness.Start(t))
	k.run("apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: echo}\nspec: {provider: echo, model: echo}\n", words("apply -f -"))
	k.run("", []string{"create", "conversation", "talk", "--model", "echo", "--system", "Be brief."}, "talk")
	k.run("", []string{"create", "turn", "talk", "--message", "one two three", "--follow"}, "one two three")
	k.run("piped in", []string{"create", "turn", "talk", "--message-file", "-", "--name", "piped", "--follow"}, "piped in")
	k.run("", []string{"create", "turn", "talk", "--message", "x", "--dry-run=server", "-o", "yaml"}, "kind: Turn")
	k.refuse("", []string{"create", "turn", "nowhere", "--message", "x"}, "nowhere")
	k.refuse("", []string{"create", "turn", "talk", "--message", "other", "--name", "piped"}, "piped")
	k.refuse("", []string{"create", "conversation", "bad", "--model", "none-such", "--dry-run=nonsense"}, "dry-run")
}

func TestBadInputIsAnsweredWithTheFieldAndTheWayOut(t *testing.T) {
	server := harness.Start(t)
	k := newShell(t, server)
	k.run(objects, words("apply -f -"))
	turn := func(name, spec string) string {
		return "apiVersion: tightbeam.dev/v1\nkind: Turn\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
	}
	for name, test := range map[string]struct {
		manifest string
		want     []string
	}{
		"unknown conversation":    {turn("a", `{conversation: none, messages: [{role: user, content: [{text: x}]}]}`), []string{"spec.conversation", "none"}},
		"unknown model":           {turn("b", `{conversation: hello, model: none, messages: [{role: user, content: [{text: x}]}]}`), []string{"spec.model", "none"}},
		"no messages":             {turn("c", `{conversation: hello}`), []string{"spec.messages"}},
		"unknown field":           {turn("d", `{conversation: hello, nonsense: 1, messages: [{role: user, content: [{text: x}]}]}`), []string{"nonsense"}},
		"unknown role":            {turn("e", `{conversation: hello, messages: [{role: dog, content: [{text: x}]}]}`), []string{"spec.messages[0].role", "user"}},
		"result without a call":   {turn("f", `{conversation: hello, messages: [{role: tool, toolCallID: nope, content: [{text: x}]}]}`), []string{"spec.messages[0].toolCallID", "nope"}},
		"image of another type":   {turn("g", `{conversation: hello, messages: [{role: user, content: [{image: {mediaType: image/tiff, data: aGVsbG8=}}]}]}`), []string{"mediaType", "image/png"}},
		"image that lies":         {turn("h", `{conversation: hello, messages: [{role: user, content: [{image: {mediaType: image/png, data: aGVsbG8=}}]}]}`), []string{"data", "image/png"}},
		"two things in a block":   {turn("i", `{conversation: hello, messages: [{role: user, content: [{text: x, thinking: hm}]}]}`), []string{"content[0]"}},
		"negative deadline":       {turn("j", `{conversation: hello, deadlineSeconds: -1, messages: [{role: user, content: [{text: x}]}]}`), []string{"spec.deadlineSeconds"}},
		"unknown provider":        {"apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: acme, model: m, secretName: s}\n", []string{"spec.provider", "anthropic"}},
		"no secret":               {"apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: openai, model: m}\n", []string{"spec.secretName"}},
		"parameters that may not": {"apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: echo, model: m, parameters: {stream: false}}\n", []string{"spec.parameters", "stream"}},
		"unknown policy":          {"apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: m}\nspec: {model: echo, concurrencyPolicy: Hope}\n", []string{"spec.concurrencyPolicy", "Enqueue"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := k
			k.t = t
			k.refuse(test.manifest, words("create -f -"), test.want...)
		})
	}

	t.Run("a body that is too large", func(t *testing.T) {
		k := k
		k.t = t
		k.refuse(turn("large", `{conversation: hello, messages: [{role: user, content: [{text: "`+strings.Repeat("x", 9<<20)+`"}]}]}`),
			words("create --validate=false -f -"), "8388608")
	})
	t.Run("a second turn under Reject, and a full queue", func(t *testing.T) {
		k := k
		k.t = t
		k.run("apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: one}\nspec: {model: slow, concurrencyPolicy: Reject}\n", words("create -f -"))
		k.run("apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: few}\nspec: {model: slow, maxQueuedTurns: 1}\n", words("create -f -"))
		k.run("", words("create turn one --name r1 --message x"))
		k.refuse("", words("create turn one --name r2 --message x"), "r1", "Reject")
		k.run("", words("create turn few --name q1 --message x"))
		k.run("", words("create turn few --name q2 --message x"))
		k.refuse("", words("create turn few --name q3 --message x"), "maxQueuedTurns")
	})
	t.Run("a name that was used", func(t *testing.T) {
		k := k
		k.t = t
		k.refuse(turn("first", `{conversation: hello, messages: [{role: user, content: [{text: good morning}]}]}`), words("create -f -"), "already exists", "asks the same")
		k.refuse(turn("first", `{conversation: hello, messages: [{role: user, content: [{text: good night}]}]}`), words("create -f -"), "already exists", "asks something else")
	})
	t.Run("a second server in the same place", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		second := exec.CommandContext(ctx, filepath.Join(harness.Programs(t), "safebeam"), "standalone",
			"--data-dir", server.DataDir(), "--secure-port", "0", "--gateway-address", "127.0.0.1:0")
		output, err := second.CombinedOutput()
		if err == nil || !strings.Contains(string(output), "in use") && !strings.Contains(string(output), "secure-port") {
			t.Errorf("%v: %s", err, output)
		}
	})
}
