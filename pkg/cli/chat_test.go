// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

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
