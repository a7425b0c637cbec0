// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

// api is as much of the server as the commands see: it keeps what is created
// and answers every turn as it is told to.
type api struct {
	t      *testing.T
	server *httptest.Server

	mu            sync.Mutex
	turns         map[string]*tightbeamv1.Turn
	conversations map[string]*tightbeamv1.Conversation
	queries       []string
	// answer are the events of every turn.
	answer []tightbeamv1.TurnEvent
	// hang: a turn does not end until it is cancelled.
	hang      bool
	cancelled chan struct{}
	// refuse answers the next creations.
	refuse []error
	// cut breaks the connection of the next creations, after they were done.
	cut int
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, turns: map[string]*tightbeamv1.Turn{}, conversations: map[string]*tightbeamv1.Conversation{}, cancelled: make(chan struct{})}
	mux := http.NewServeMux()
	const path = "/apis/tightbeam.dev/v1/namespaces/{namespace}/"
	mux.HandleFunc("POST "+path+"turns", func(w http.ResponseWriter, r *http.Request) { create(a, w, r, a.turns, "turns") })
	mux.HandleFunc("GET "+path+"turns/{name}", func(w http.ResponseWriter, r *http.Request) { get(a, w, r, a.turns, "turns") })
	mux.HandleFunc("POST "+path+"conversations", func(w http.ResponseWriter, r *http.Request) {
		create(a, w, r, a.conversations, "conversations")
	})
	mux.HandleFunc("GET "+path+"conversations/{name}", func(w http.ResponseWriter, r *http.Request) {
		get(a, w, r, a.conversations, "conversations")
	})
	mux.HandleFunc("GET "+path+"conversations", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		var list tightbeamv1.ConversationList
		for _, c := range a.conversations {
			list.Items = append(list.Items, *c)
		}
		reply(w, http.StatusOK, &list)
	})
	mux.HandleFunc("GET "+path+"conversations/{name}/log", func(w http.ResponseWriter, _ *http.Request) {
		text := "what was said"
		_ = json.NewEncoder(w).Encode(tightbeamv1.LogEntry{Index: 1, Role: tightbeamv1.RoleUser, Content: []tightbeamv1.ContentBlock{{Text: &text}}})
	})
	mux.HandleFunc("GET "+path+"turns/{name}/log", a.stream)
	mux.HandleFunc("POST "+path+"turns/{name}/cancel", func(w http.ResponseWriter, r *http.Request) {
		close(a.cancelled)
		get(a, w, r, a.turns, "turns")
	})
	a.server = httptest.NewServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

func create[T metav1.Object](a *api, w http.ResponseWriter, r *http.Request, stored map[string]T, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queries = append(a.queries, r.URL.RawQuery)
	var obj T
	if err := json.NewDecoder(r.Body).Decode(&obj); err != nil {
		a.t.Error(err)
	}
	if len(a.refuse) > 0 {
		err := a.refuse[0]
		a.refuse = a.refuse[1:]
		fail(w, err)
		return
	}
	if _, exists := stored[obj.GetName()]; exists {
		exists := apierrors.NewAlreadyExists(tightbeamv1.Resource(resource), obj.GetName())
		exists.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: causeSameContent}}
		fail(w, exists)
		return
	}
	obj.SetNamespace(r.PathValue("namespace"))
	stored[obj.GetName()] = obj
	if a.cut > 0 {
		a.cut--
		panic(http.ErrAbortHandler)
	}
	reply(w, http.StatusCreated, obj)
}

func get[T metav1.Object](a *api, w http.ResponseWriter, r *http.Request, stored map[string]T, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	obj, exists := stored[r.PathValue("name")]
	if !exists {
		fail(w, apierrors.NewNotFound(tightbeamv1.Resource(resource), r.PathValue("name")))
		return
	}
	reply(w, http.StatusOK, obj)
}

func (a *api) stream(w http.ResponseWriter, r *http.Request) {
	for i, event := range a.answer {
		event.Number = int64(i + 1)
		_ = json.NewEncoder(w).Encode(event)
		w.(http.Flusher).Flush()
	}
	if !a.hang {
		return
	}
	select {
	case <-a.cancelled:
		_ = json.NewEncoder(w).Encode(tightbeamv1.TurnEvent{Number: 100, Type: tightbeamv1.TurnEventCancelled, Reason: "by its user"})
	case <-r.Context().Done():
	}
}

func reply(w http.ResponseWriter, code int, obj any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(obj)
}

func fail(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	reply(w, int(s.Code), s)
}

func text(s string) tightbeamv1.TurnEvent {
	return tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventBlockDelta, Text: s}
}

func completed(whole string, reason tightbeamv1.StopReason) tightbeamv1.TurnEvent {
	return tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventCompleted, StopReason: reason, Message: &tightbeamv1.Message{
		Role: tightbeamv1.RoleAssistant, Content: []tightbeamv1.ContentBlock{{Text: &whole}},
	}}
}

// run runs a plugin as kubectl does.
func (a *api) run(plugin, stdin string, args ...string) (stdout, stderr string, err error) {
	a.t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}
	command, known := Plugins(streams)[plugin]
	if !known {
		a.t.Fatalf("there is no plugin %s", plugin)
	}
	c := command()
	c.SetArgs(args)
	a.t.Setenv("KUBECONFIG", a.kubeconfig())
	err = c.ExecuteContext(a.t.Context())
	return out.String(), errOut.String(), err
}

func (a *api) kubeconfig() string {
	file := filepath.Join(a.t.TempDir(), "kubeconfig")
	content := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c,
		clusters: [{name: c, cluster: {server: %q}}], users: [{name: c, user: {token: t}}],
		contexts: [{name: c, context: {cluster: c, user: c, namespace: ns}}]}`, a.server.URL)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// only is the one turn that was created.
func (a *api) only() *tightbeamv1.Turn {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.turns) != 1 {
		a.t.Fatalf("%d turns were created, want 1", len(a.turns))
	}
	for _, turn := range a.turns {
		return turn
	}
	panic("unreachable")
}

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
		{"kubectl-create-conversation", "tea --model=", "--model is empty"},
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

func TestFollowShowsTheAnswerAndNothingElse(t *testing.T) {
	a := newAPI(t)
	index := int32(1)
	a.answer = []tightbeamv1.TurnEvent{
		{Type: tightbeamv1.TurnEventStarted},
		text("Two to "), text("three minutes."),
		{Type: tightbeamv1.TurnEventBlockStarted, Index: &index, Kind: tightbeamv1.BlockToolUse, ToolCallID: "c1", ToolName: "kettle"},
		{Type: tightbeamv1.TurnEventBlockDelta, JSON: `{"celsius":`}, {Type: tightbeamv1.TurnEventBlockDelta, JSON: `80}`},
		{Type: tightbeamv1.TurnEventBlockStopped},
		completed("Two to three minutes.", tightbeamv1.StopToolUse),
	}
	out, notes, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi", "--follow")
	if err != nil {
		t.Fatal(err)
	}
	if want := "Two to three minutes.\n[tool call c1] kettle {\"celsius\":80}\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if !strings.HasPrefix(notes, "turn.tightbeam.dev/"+a.only().Name+" created\n") || !strings.Contains(notes, "waits for the results") {
		t.Errorf("noted %q", notes)
	}
}

func TestTurnThatFailsIsAnErrorOfTheCommand(t *testing.T) {
	for _, test := range []struct {
		last tightbeamv1.TurnEvent
		want string
	}{
		{tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventFailed, Error: &tightbeamv1.TurnError{Class: tightbeamv1.ErrorRateLimited, Message: "slow down", RequestID: "r1"}},
			"is Failed: RateLimited: slow down (request r1)"},
		{tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventCancelled, Reason: "by alice"}, "is Cancelled: by alice"},
	} {
		a := newAPI(t)
		a.answer = []tightbeamv1.TurnEvent{text("Two"), test.last}
		out, _, err := a.run("kubectl-create-turn", "", "tea", "-m", "hi", "--follow")
		var failed *TurnFailedError
		if !errors.As(err, &failed) || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("error is %v, want %q", err, test.want)
		}
		if out != "Two\n" {
			t.Errorf("printed %q", out)
		}
	}
}

func TestRenderer(t *testing.T) {
	yes, no := true, false
	failure := &tightbeamv1.TurnError{Class: tightbeamv1.ErrorOverloaded, Message: "busy"}
	thinking := tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventBlockStarted, Kind: tightbeamv1.BlockThinking}
	for _, test := range []struct {
		name       string
		thinking   bool
		events     []tightbeamv1.TurnEvent
		out, notes string
	}{{
		name:   "an answer that ends with a newline gets no second one",
		events: []tightbeamv1.TurnEvent{text("a\n"), completed("a\n", tightbeamv1.StopEndTurn)},
		out:    "a\n",
	}, {
		name:   "an answer whose events were not seen is shown from its end",
		events: []tightbeamv1.TurnEvent{completed("whole", tightbeamv1.StopEndTurn)},
		out:    "whole\n",
	}, {
		name: "lost events lead to the whole answer",
		events: []tightbeamv1.TurnEvent{
			text("one "), {Type: tightbeamv1.TurnEventResumed, LostFrom: 2, LostTo: 9}, text("three"), completed("one two three", tightbeamv1.StopEndTurn),
		},
		out:   "one \nthree\none two three\n",
		notes: "[events 2 to 9 were lost when the server stopped; the answer is shown whole at its end]\n",
	}, {
		name: "attempts that fail are told",
		events: []tightbeamv1.TurnEvent{
			{Type: tightbeamv1.TurnEventAttemptFailed, Attempt: 1, Error: failure, WillRetry: &yes},
			{Type: tightbeamv1.TurnEventAttemptFailed, Attempt: 2, Error: failure, WillRetry: &no},
			completed("a", tightbeamv1.StopMaxTokens),
		},
		out:   "a\n",
		notes: "[attempt 1 failed, trying again: Overloaded: busy]\n[attempt 2 failed, giving up: Overloaded: busy]\n[the model stopped before its end: MaxTokens]\n",
	}, {
		name:   "reasoning stays hidden",
		events: []tightbeamv1.TurnEvent{thinking, {Type: tightbeamv1.TurnEventBlockDelta, Thinking: "hm"}, {Type: tightbeamv1.TurnEventBlockStopped}, completed("a", "")},
		out:    "a\n",
	}, {
		name: "unless it is asked for", thinking: true,
		events: []tightbeamv1.TurnEvent{thinking, {Type: tightbeamv1.TurnEventBlockDelta, Thinking: "hm"}, {Type: tightbeamv1.TurnEventBlockStopped}, completed("a", "")},
		out:    "a\n", notes: "[thinking] hm\n",
	}, {
		name:   "a terminal is not written to",
		events: []tightbeamv1.TurnEvent{text("\x1b]0;gotcha\x07a\tb\u009b2J\r\n"), completed("\x1b]0;gotcha\x07a\tb\u009b2J\r\n", "")},
		out:    "]0;gotchaa\tb2J\n",
	}} {
		t.Run(test.name, func(t *testing.T) {
			var out, notes bytes.Buffer
			r := newRenderer(&out, &notes, test.thinking)
			for _, event := range test.events {
				if err := r.event("t", event); err != nil {
					t.Fatal(err)
				}
			}
			if out.String() != test.out || notes.String() != test.notes {
				t.Errorf("printed %q and noted %q, want %q and %q", out.String(), notes.String(), test.out, test.notes)
			}
		})
	}
}

func TestClosedOutputEndsTheCommand(t *testing.T) {
	r := newRenderer(brokenPipe{}, io.Discard, false)
	if err := r.event("t", text("a")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error is %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestChatAnswersLineByLine(t *testing.T) {
	a := newAPI(t)
	a.answer = []tightbeamv1.TurnEvent{text("yes"), completed("yes", tightbeamv1.StopEndTurn)}
	out, notes, err := a.run("kubectl-chat", "first\n\n/model large\nsecond \\\nline\n/log\n/quit\nnever\n", "tea", "--model", "small")
	if err != nil {
		t.Fatal(err)
	}
	if want := "yes\nyes\nuser: what was said\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if want := "[began conversation tea]\n[model large answers]\n"; notes != want {
		t.Errorf("noted %q, want %q", notes, want)
	}
	if model := a.conversations["tea"].Spec.Model; model != "small" {
		t.Errorf("the conversation's model is %s", model)
	}
	said := map[string]string{}
	for _, turn := range a.turns {
		said[*turn.Spec.Messages[0].Content[0].Text] = turn.Spec.Model
	}
	if len(said) != 2 || said["first"] != "small" || said["second \nline"] != "large" {
		t.Errorf("said %v", said)
	}
}

func TestScriptedChatEndsWithAFailedTurn(t *testing.T) {
	a := newAPI(t)
	a.answer = []tightbeamv1.TurnEvent{{Type: tightbeamv1.TurnEventFailed}}
	_, _, err := a.run("kubectl-chat", "first\nsecond\n", "tea", "--model", "small")
	var failed *TurnFailedError
	if !errors.As(err, &failed) || len(a.turns) != 1 {
		t.Errorf("error is %v after %d turns", err, len(a.turns))
	}
}

func TestInterruptCancelsTheRunningTurnAndAtThePromptEndsTheChat(t *testing.T) {
	a := newAPI(t)
	a.answer = []tightbeamv1.TurnEvent{text("well")}
	a.hang = true
	t.Setenv("KUBECONFIG", a.kubeconfig())
	stdin, typing := io.Pipe()
	defer typing.Close()
	out, notes := &shown{changed: make(chan struct{}, 1000)}, &shown{changed: make(chan struct{}, 1000)}
	c := &chat{streams: genericiooptions.IOStreams{In: stdin, Out: out, ErrOut: notes}, namespace: "ns", conversation: "tea", prompt: true}
	clients, err := request.AddTarget(&cobra.Command{}).Connect()
	if err != nil {
		t.Fatal(err)
	}
	c.clients = clients.TightbeamV1()
	interrupts := make(chan os.Signal)
	ended := make(chan error, 1)
	go func() { ended <- c.run(context.Background(), interrupts) }()

	fmt.Fprintln(typing, "hello")
	out.wait(t, "well")
	interrupts <- os.Interrupt
	notes.wait(t, "[cancelled]\n> ")
	select {
	case <-a.cancelled:
	default:
		t.Error("the turn was not cancelled")
	}
	interrupts <- os.Interrupt
	if err := <-ended; err != nil {
		t.Errorf("the chat ended with %v", err)
	}
}

// shown is an output that can be waited for.
type shown struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed <- struct{}{}
	return s.text.Write(p)
}

func (s *shown) wait(t *testing.T, want string) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		text := s.text.String()
		s.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-s.changed:
		case <-timeout:
			t.Fatalf("%q is not shown, but %q", want, text)
		}
	}
}

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
